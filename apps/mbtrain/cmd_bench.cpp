// mbtrain bench: how fast this machine is.
#include "apps/mbtrain/cmd_bench.h"

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"

namespace mbt {

int cmd_bench(const std::vector<std::string>& args) {
  constexpr SubVerb kBenches[] = {
      {"gemm", "matrix products by shape, role and precision", bench_gemm},
      {"ops", "memory-bound ops", bench_ops},
      {"step", "a training step by part", bench_step},
      {"comm", "collectives between ranks", bench_comm},
      {"data", "reading training data", bench_data},
      {"scaling", "a model of the step time at many ranks", bench_scaling},
  };
  return run_sub_verb("bench", "Measure this machine", kBenches, args);
}

}  // namespace mbt

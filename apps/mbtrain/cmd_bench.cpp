// mbtrain bench: how fast this machine is.
#include "apps/mbtrain/cmd_bench.h"

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"

namespace mbt {

int cmd_bench(const std::vector<std::string>& args) {
  if (!args.empty() && args[0] == "gemm") return bench_gemm({args.begin() + 1, args.end()});
  if (!args.empty() && args[0] == "ops") return bench_ops({args.begin() + 1, args.end()});
  if (!args.empty() && args[0] == "step") return bench_step({args.begin() + 1, args.end()});
  CLI::App app("Measure this machine", "mbtrain bench");
  std::string what;
  app.add_option("WHAT", what, "gemm: matrix products by shape, role and precision; ops: memory-bound ops; step: a training step by part")
      ->required()
      ->check(CLI::IsMember({"gemm", "ops", "step"}));
  parse_args(app, args);
  return 0;
}

}  // namespace mbt

// mbtrain bench: how fast this machine is.
#include "apps/mbtrain/cmd_bench.h"

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"

namespace mbt {

namespace {

struct Bench {
  const char* name;
  const char* doc;
  int (*run)(const std::vector<std::string>& args);
};
constexpr Bench kBenches[] = {
    {"gemm", "matrix products by shape, role and precision", bench_gemm},
    {"ops", "memory-bound ops", bench_ops},
    {"step", "a training step by part", bench_step},
    {"comm", "collectives between ranks", bench_comm},
    {"data", "reading training data", bench_data},
    {"scaling", "a model of the step time at many ranks", bench_scaling},
};

}  // namespace

int cmd_bench(const std::vector<std::string>& args) {
  std::string docs;
  std::vector<std::string> names;
  for (const Bench& b : kBenches) {
    if (!args.empty() && args[0] == b.name) return b.run({args.begin() + 1, args.end()});
    names.emplace_back(b.name);
    docs += (docs.empty() ? "" : "; ") + std::string(b.name) + ": " + b.doc;
  }
  CLI::App app("Measure this machine", "mbtrain bench");
  std::string what;
  app.add_option("WHAT", what, docs)->required()->check(CLI::IsMember(names));
  parse_args(app, args);
  return 0;
}

}  // namespace mbt

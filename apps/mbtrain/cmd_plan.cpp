// mbtrain plan: what a run would do, without doing it.
#include <iostream>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/plan_text.h"
#include "apps/mbtrain/resume_option.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/config/command_line.h"
#include "core/train/plan/plan.h"
#include "core/train/resolve_loading.h"
#include "core/train/start.h"
#include "kernels/kernels.h"
#include "kernels/launch.h"

namespace mbt {

int cmd_plan(const std::vector<std::string>& args) { return cmd_plan(args, {}); }

int cmd_plan(const std::vector<std::string>& args, const std::vector<std::string>& defaults) {
  VerbOptions options("Show what a run will do: config with origins, precision of every GEMM, parameters, memory, FLOPs, length",
                      "mbtrain plan");
  bool as_json = false, show_all = false;
  int ranks = launched_as().processes;
  options.add_flag("--json", as_json, "Print one JSON object");
  options.add_flag("--all", show_all, "Print every field and every overwrite");
  options.add_option("--ranks", ranks, "Number of data-parallel ranks to plan for; default: those of this launch").range(1, 1000000);
  std::string resumed;
  add_resume(options, resumed);
  ConfigInput input = options.parse_with_config(args);
  apply_resume(resumed, input);
  input.defaults = parse_defaults(defaults, "Megatron-LM");
  ResolvedRun run = resolve_loading(input, ranks);
  const std::unique_ptr<Dataset> data = check_start(run.config, DataWork::look);
  const TrainConfig& train = run.config.train;
  const std::unique_ptr<Backend> backend = make_backend(name_of(train.device), static_cast<int>(train.num_threads));
  const RunPlan plan = make_plan(std::move(run), ranks, queries_of(*backend));
  if (as_json) std::cout << json_text(to_json(plan), {.indent = 2}) << "\n";
  else std::cout << plan_text(plan, show_all);
  return 0;
}

}  // namespace mbt

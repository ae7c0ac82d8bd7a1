// mbtrain train: the default verb.
#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/console.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/proof.h"
#include "apps/mbtrain/ranks.h"
#include "apps/mbtrain/resume_option.h"
#include "apps/mbtrain/stop_signals.h"
#include "apps/mbtrain/trace.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/comm/gather.h"
#include "core/config/command_line.h"
#include "core/config/config_json.h"
#include "core/io/files.h"
#include "core/io/folder_claim.h"
#include "core/train/checkpoint/checkpoint_folder.h"
#include "core/train/plan/plan_memory.h"
#include "core/train/plan/plan_precision.h"
#include "core/train/resolve_loading.h"
#include "core/train/start.h"
#include "core/train/trainer.h"
#include "kernels/gpus.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

/// Of ranks that do not speak.
class SilentObserver final : public TrainObserver {
 public:
  void on_message(const std::string&) override {}
  void on_warning(const std::string& text) override { log_warning(text); }
  void on_iteration(const IterationRecord&) override {}
  void on_evaluation(const EvaluationRecord&) override {}
  void on_checkpoint(SaveStage, const std::string&, int64_t) override {}
};

/// A GPU that "auto" passes over is said: a run of hours on the CPU is not what its owner expects.
void warn_of_unused_gpu() {
  const GpuProbe gpus = probe_gpus();
  if (!gpus.devices.empty()) log_warning(fmt::format("the GPU is not used: {}", gpu_problem(gpus, cuda_build())));
}

/// The recipe's name, and its fields that the user set over it.
std::string recipe_text(const ResolvedRun& run) {
  const std::string section = "mixed_precision.";
  const bool is_saved = origin_of(run.origins, section + "name").kind == Origin::Kind::resolved;  // its settings are those of that run
  std::vector<std::string> changed;
  for (const auto& [field, origin] : run.origins)
    if (field.rfind(section, 0) == 0 && field != section + "name" &&
        (is_saved ? is_said(origin) : origin.kind == Origin::Kind::command_line))
      changed.push_back(field.substr(section.size()));
  return run.config.mixed_precision.name +
         (changed.empty() ? "" : ", with " + join(changed, ", ") + (is_saved ? " set over it" : " of the command line"));
}

void show_start(const ResolvedRun& run, const Backend& backend, World& world, const Dataset& dataset, const Trainer& trainer) {
  const RunConfig& c = run.config;
  for (const auto& [what, value] : backend.facts()) log_info(fmt::format("{}: {}", what, value));
  if (world.ranks() > 1)
    log_info(fmt::format("ranks: {}, {} on this host ({}), over {}", world.ranks(), world.place().local_ranks, world.place().host,
                         trainer.transport()));
  if (c.train.device == DeviceChoice::automatic && backend.name() == "cpu") warn_of_unused_gpu();
  log_info(fmt::format("recipe: {}", recipe_text(run)));
  for (const Overwrite& o : run.overwrites) {
    log_debug(
        fmt::format("{}.{}: {} ({}) -> {}", o.section, o.field, json_text(o.old_value), to_string(o.old_origin), json_text(o.new_value)));
  }
  if (!run.overwrites.empty())
    log_info(fmt::format("the recipe overwrote {} precision settings (mbtrain plan lists them)", run.overwrites.size()));
  for (const std::string& note : run.notes) log_warning(note);
  const std::vector<LayerRangePlan> precision = plan_precision(make_policy(c.model, c.ddp), queries_of(backend).support);
  for (const std::string& note : emulation_notes(precision, backend.name())) log_info(note);
  log_info(fmt::format("data: {}", dataset.describe()));
  if (dataset.entropy_rate())
    log_info(fmt::format("no model can do better than {:.4f} nats a token on this data", *dataset.entropy_rate()));
  log_info(fmt::format("model: {:.3f} M parameters, {} iterations of {} x {} tokens", static_cast<double>(trainer.num_params()) * 1e-6,
                       c.train.iterations(), c.train.global_batch_size, c.model.seq_length));
}

const char* exit_text(ExitReason reason) {
  switch (reason) {
    case ExitReason::finished: return nullptr;
    case ExitReason::signal: return "exiting program after receiving SIGTERM.";
    case ExitReason::duration: return "exiting program after the given duration";
    case ExitReason::interval: return "exiting program at the given interval";
  }
  return nullptr;
}

/// Two runs in one folder would replace each other's checkpoints, and each would clear what the other has half written. A process that was
/// killed a moment ago may need this long to end.
void lock_save_folder(const std::string& folder, std::optional<FolderClaim>& lock) {
  if (lock) return;
  lock.emplace(folder, std::chrono::seconds(5));
  if (lock->is_refused())
    throw InputError(
        fmt::format("checkpoint.save: another run is saving into {} now. Wait until it ends, or choose another folder", folder));
}

/// Before the run looks at the folder; nothing is made there.
void lock_existing_folder(const CheckpointConfig& config, std::optional<FolderClaim>& lock) {
  if (config.save.empty()) return;
  std::error_code none;
  if (std::filesystem::is_directory(config.save, none)) lock_save_folder(config.save, lock);
}

/// Locked before it is cleared of what killed runs left: what a living one has half written looks the same.
void prepare_save_folder(const std::string& folder, std::optional<FolderClaim>& lock) {
  std::error_code none;
  std::filesystem::create_directories(folder, none);  // check_save_folder() says why it cannot be made
  if (std::filesystem::is_directory(folder, none)) lock_save_folder(folder, lock);
  check_save_folder(folder);
}

struct TrainOptions {
  VerbOptions options{"Train a model", "mbtrain train"};
  std::string resumed;

  TrainOptions() { add_resume(options, resumed); }
};

int train(World& world, TrainOptions& own, const std::vector<std::string>& args, const std::vector<std::string>& defaults) {
  ResolvedRun run;
  std::unique_ptr<Dataset> dataset;
  std::optional<FolderClaim> lock;  // on the first rank, to the end of the run
  agree(world, [&] {
    ConfigInput input = own.options.parse_with_config(args);
    apply_resume(own.resumed, input);
    input.defaults = parse_defaults(defaults, "Megatron-LM");
    run = resolve_loading(input, world.ranks());
    const RunConfig& config = run.config;
    if (world.is_first()) lock_existing_folder(config.checkpoint, lock);
    if (world.is_first()) set_log_level(name_of(config.logger.logging_level));
    dataset = check_start(config, DataWork::all);
  });
  const RunConfig& config = run.config;
  require_same_run(world, config, *dataset);
  const std::unique_ptr<Backend> backend = make_backend_of_rank(world, name_of(config.train.device), config.train.num_threads);
  PrecisionPolicy policy;
  agree(world, [&] { policy = training_policy(config, *backend); });
  prove_before_run(world, config, *backend);

  ConsoleObserver console(config);
  SilentObserver silent;
  TimingBackend timing(*backend);
  TracingObserver tracing(config.profiling, timing, console);
  const bool traces = !config.profiling.trace_path.empty() && world.is_first();
  TrainObserver& observer = traces             ? static_cast<TrainObserver&>(tracing)
                            : world.is_first() ? static_cast<TrainObserver&>(console)
                                               : silent;
  Trainer trainer(traces ? timing : *backend, world, config, policy, *dataset, observer);
  agree(world, [&] {
    if (!world.is_first()) return;
    if (!config.checkpoint.save.empty()) prepare_save_folder(config.checkpoint.save, lock);
    console.open_metrics();
    if (!config.logger.save_config_filepath.empty()) write_file_atomically(config.logger.save_config_filepath, json_text(config) + "\n");
    show_start(run, *backend, world, *dataset, trainer);
  });

  std::optional<StopSignals> stops;  // ends before the trainer does: a launcher signals the other ranks as soon as one has ended
  if (config.train.exit_signal_handler) stops.emplace(), trainer.stop_when(StopSignals::came());
  console.set_on_failure([&trainer] { trainer.request_stop(); });  // metrics that cannot be written end the run after a checkpoint
  const ExitReason reason = trainer.run();
  console.finish();
  agree(world, [&] {
    if (!console.failure().empty())
      throw WriteError(fmt::format("{}; stopped after iteration {}", console.failure(), trainer.state().iteration));
  });
  if (!world.is_first()) return 0;
  if (const char* why = exit_text(reason)) std::printf("%s\n", why);
  else std::printf("[after training is done] %lld iterations\n", static_cast<long long>(trainer.state().iteration));
  return 0;
}

}  // namespace

int cmd_train(const std::vector<std::string>& args) { return cmd_train(args, {}); }

int cmd_train(const std::vector<std::string>& args, const std::vector<std::string>& defaults) {
  TrainOptions own;
  own.options.answer_help(args);
  return run_on_ranks("train", [&](World& world) { return train(world, own, args, defaults); });
}

}  // namespace mbt

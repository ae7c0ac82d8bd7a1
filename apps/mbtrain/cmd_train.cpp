// mbtrain train: the default verb.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/console.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/proof.h"
#include "apps/mbtrain/ranks.h"
#include "apps/mbtrain/resume_option.h"
#include "apps/mbtrain/run_files.h"
#include "apps/mbtrain/start_log.h"
#include "apps/mbtrain/stop_signals.h"
#include "apps/mbtrain/trace.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/comm/gather.h"
#include "core/config/command_line.h"
#include "core/config/config_json.h"
#include "core/io/files.h"
#include "core/io/folder_claim.h"
#include "core/train/checkpoint/checkpoint_folder.h"
#include "core/train/plan/plan_memory.h"
#include "core/train/resolve_loading.h"
#include "core/train/start.h"
#include "core/train/trainer.h"
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

/// Rank 0 says which signal it was, whichever rank got it. Every rank calls it.
int signal_of_run(World& world) {
  const std::vector<int> signals = gather_values(world, StopSignals::which());
  const auto found = std::find_if(signals.begin(), signals.end(), [](int s) { return s != 0; });
  return found == signals.end() ? 0 : *found;
}

/// The last line on stdout.
std::string exit_text(ExitReason reason, int signal, int64_t iterations) {
  switch (reason) {
    case ExitReason::finished: break;
    case ExitReason::signal: return fmt::format("exiting program after receiving {}.", name_of_signal(signal));
    case ExitReason::duration: return "exiting program after the given duration";
    case ExitReason::interval: return "exiting program at the given interval";
  }
  return fmt::format("[after training is done] {} iterations", iterations);
}

/// The same in one word, for run.json.
std::string end_word(ExitReason reason, int signal) {
  switch (reason) {
    case ExitReason::finished: break;
    case ExitReason::signal: return name_of_signal(signal);
    case ExitReason::duration: return "train.exit_duration_in_mins";
    case ExitReason::interval: return "train.exit_interval";
  }
  return "finished";
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

int run_trainer(World& world, Trainer& trainer, const RunConfig& config, ConsoleObserver& console, std::optional<RunFiles>& files) {
  std::optional<StopSignals> stops;  // ends before the trainer does: a launcher signals the other ranks as soon as one has ended
  if (config.train.exit_signal_handler) stops.emplace(), trainer.stop_when(StopSignals::came());
  console.set_on_failure([&trainer] { trainer.request_stop(); });  // metrics that cannot be written end the run after a checkpoint
  const ExitReason reason = trainer.run();
  console.finish();
  agree(world, [&] {
    if (!console.failure().empty())
      throw WriteError(fmt::format("{}; stopped after iteration {}", console.failure(), trainer.state().iteration));
  });
  const int signal = signal_of_run(world);
  if (!world.is_first()) return 0;
  console.print_line(exit_text(reason, signal, trainer.state().iteration));
  const int code = std::ferror(stdout) != 0 ? 1 : 0;  // main() says why
  if (files) files->end(code, code == 0 ? end_word(reason, signal) : "standard output cannot be written");
  return code;
}

int train(World& world, TrainOptions& own, const std::vector<std::string>& args, const std::vector<std::string>& defaults) {
  ConfigInput input;
  ResolvedRun run;
  std::unique_ptr<Dataset> dataset;
  std::optional<FolderClaim> lock;  // on the first rank, to the end of the run
  std::optional<RunFiles> files;    // the same, where the run has a folder
  agree(world, [&] {
    input = own.options.parse_with_config(args);
    apply_resume(own.resumed, input);
    input.defaults = parse_defaults(defaults, "Megatron-LM");
    run = resolve_loading(input, world.ranks());
    const RunConfig& config = run.config;
    if (world.is_first()) lock_existing_folder(config.checkpoint, lock);
    if (world.is_first()) set_log_level(name_of(config.logger.logging_level));
    if (world.is_first() && !config.checkpoint.save.empty()) files.emplace(world, config.checkpoint.save);
    dataset = check_start(config, DataWork::all);
  });
  const RunConfig& config = run.config;
  const std::string& folder = config.checkpoint.save;
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
  const std::vector<std::string> devices = folder.empty() ? std::vector<std::string>() : devices_of_ranks(world, *backend);
  try {
    agree(world, [&] {
      if (!world.is_first()) return;
      if (!folder.empty()) prepare_save_folder(folder, lock);
      console.open_metrics();
      if (!config.logger.save_config_filepath.empty()) write_file_atomically(config.logger.save_config_filepath, json_text(config) + "\n");
      if (files) files->begin(input, run, devices);
      log_start(run, *backend, world, *dataset, trainer);
    });
    return run_trainer(world, trainer, config, console, files);
  } catch (const std::exception& e) {
    record_failure(world, e, folder, files ? &*files : nullptr);
    throw;
  }
}

}  // namespace

int cmd_train(const std::vector<std::string>& args) { return cmd_train(args, {}); }

int cmd_train(const std::vector<std::string>& args, const std::vector<std::string>& defaults) {
  TrainOptions own;
  own.options.answer_help(args);
  return run_on_ranks("train", [&](World& world) { return train(world, own, args, defaults); });
}

}  // namespace mbt

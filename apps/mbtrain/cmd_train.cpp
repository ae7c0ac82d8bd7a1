// mbtrain train: the default verb.
#include <spdlog/spdlog.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/console.h"
#include "apps/mbtrain/trace.h"
#include "core/config/field_table.h"
#include "core/io/files.h"
#include "core/recipe/resolve.h"
#include "core/train/trainer.h"
#include "core/train/plan_memory.h"
#include "core/train/plan_precision.h"
#include "kernels/gpus.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

Trainer* running_trainer = nullptr;  // for the signal handler alone

void on_stop_signal(int signal) {
  if (running_trainer) running_trainer->request_stop();
  std::signal(signal, SIG_DFL);  // a second one ends the program at once
}

/// A GPU that "auto" passes over is said: a run of hours on the CPU is not what its owner expects.
void warn_of_unused_gpu() {
  const GpuProbe gpus = probe_gpus();
  if (!gpus.devices.empty()) spdlog::warn("the GPU is not used: {}", gpu_problem(gpus, cuda_build()));
}

void show_start(const ResolvedRun& run, const Backend& backend, const Dataset& dataset, const Trainer& trainer) {
  const RunConfig& c = run.config;
  for (const auto& [what, value] : backend.facts()) spdlog::info("{}: {}", what, value);
  if (c.train.device == "auto" && backend.name() == "cpu") warn_of_unused_gpu();
  spdlog::info("recipe: {}", c.mixed_precision.name);
  for (const Overwrite& o : run.overwrites) {
    spdlog::debug("{}.{}: {} ({}) -> {}", o.section, o.field, o.old_value.dump(), to_string(o.old_origin), o.new_value.dump());
  }
  if (!run.overwrites.empty()) spdlog::info("the recipe overwrote {} precision settings (mbtrain plan lists them)", run.overwrites.size());
  for (const std::string& note : run.notes) spdlog::warn("{}", note);
  const std::vector<LayerRangePlan> precision = plan_precision(make_policy(c.model, c.ddp), queries_of(backend).support);
  for (const std::string& note : emulation_notes(precision, backend.name())) spdlog::info("{}", note);
  spdlog::info("data: {}", dataset.describe());
  if (dataset.entropy_rate()) spdlog::info("no model can do better than {:.4f} nats a token on this data", *dataset.entropy_rate());
  spdlog::info("model: {:.3f} M parameters, {} iterations of {} x {} tokens", static_cast<double>(trainer.num_params()) * 1e-6, c.train.iterations(),
               c.train.global_batch_size, c.model.seq_length);
}

/// Several processes that each train the whole model for themselves are not what mpirun and srun are for.
void refuse_several_ranks() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const char* size = std::getenv(variable);
    if (size != nullptr && std::atoi(size) > 1) {
      throw InputError(text("started as one of ", size, " processes (", variable, "): this version trains in one process alone; start it without mpirun or srun"));
    }
  }
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

}  // namespace

int cmd_train(const std::vector<std::string>& args) {
  CLI::App app("Train a model", "mbtrain train");
  const ResolvedRun run = resolve_run(parse_config_args(app, args));
  refuse_several_ranks();
  const RunConfig& config = run.config;
  spdlog::set_level(spdlog::level::from_str(config.logger.logging_level));

  const std::unique_ptr<Dataset> dataset = make_dataset(config.dataset, config.model.seq_length, config.rng.seed);
  if (dataset->vocab_size() > config.model.vocab_size) {
    throw InputError(text("model.vocab_size: ", config.model.vocab_size, " is smaller than the ", dataset->vocab_size(), " tokens of the data"));
  }
  const std::unique_ptr<Backend> backend = make_backend(config.train.device, static_cast<int>(config.train.num_threads));
  ConsoleObserver console(config);
  TimingBackend timing(*backend);
  TracingObserver tracing(config.profiling, timing, console);
  const bool traces = !config.profiling.trace_path.empty();
  Trainer trainer(traces ? timing : *backend, config, training_policy(config, *backend), *dataset,
                  traces ? static_cast<TrainObserver&>(tracing) : console);
  if (!config.checkpoint.save.empty()) check_save_folder(config.checkpoint.save);
  console.open_metrics(!config.checkpoint.load.empty());
  if (!config.logger.save_config_filepath.empty()) write_file_atomically(config.logger.save_config_filepath, to_json(config).dump(2) + "\n");
  show_start(run, *backend, *dataset, trainer);

  running_trainer = &trainer;
  if (config.train.exit_signal_handler) {
    std::signal(SIGTERM, on_stop_signal);
    std::signal(SIGINT, on_stop_signal);
  }
  console.set_on_failure([&trainer] { trainer.request_stop(); });  // metrics that cannot be written end the run after a checkpoint
  const ExitReason reason = trainer.run();
  running_trainer = nullptr;
  console.finish();
  if (!console.failure().empty()) throw InputError(text(console.failure(), "; stopped after iteration ", trainer.state().iteration));
  if (const char* why = exit_text(reason)) std::printf("%s\n", why);
  else std::printf("[after training is done] %lld iterations\n", static_cast<long long>(trainer.state().iteration));
  return 0;
}

}  // namespace mbt

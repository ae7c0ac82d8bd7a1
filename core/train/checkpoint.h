// Checkpoints: <folder>/iter_0000100/{weights,optimizer,precision}.safetensors, train_state.json, run_config.json, and the tracker file
// latest_checkpointed_iteration.txt, written last. A checkpoint folder appears under its name only when it is complete.
#pragma once

#include <optional>
#include <string>

#include "core/config/run_config.h"
#include "core/model/weights.h"
#include "core/optim/loss_scaler.h"

namespace mbt {

/// Everything beside tensors that a run continues from.
struct TrainState {
  int64_t iteration = 0;           ///< finished iterations
  int64_t consumed_samples = 0;    ///< of the training split
  int64_t scheduler_samples = 0;   ///< samples of the steps that succeeded: the schedules' clock
  int64_t optimizer_updates = 0;   ///< Adam's t
  int64_t skipped_iterations = 0;
  double flops = 0.0;              ///< model FLOPs so far
};

/// Refuses a folder that cannot be written, before anything is trained. Creates it, and clears what a killed run left half written.
void check_save_folder(const std::string& folder);

/// Returns the checkpoint's path. keep > 0: removes all but `keep` checkpoints afterwards, first those beyond this iteration (of a run that
/// was wound back), then the oldest.
std::string save_checkpoint(const std::string& folder, const RunConfig& config, Backend& backend, Weights& weights, const TrainState& state,
                            const LossScaler& scaler, bool with_optimizer, int64_t keep);

/// The checkpoint that `folder` offers: of iteration `step`, or what the tracker names. nullopt: an existing folder without a checkpoint.
/// InputError: no such folder, a tracker that names a missing checkpoint.
std::optional<std::string> find_checkpoint(const std::string& folder, std::optional<int64_t> step);

/// Weights only (finetune, generate, evaluate): masters from the checkpoint; refresh_working() must follow.
void load_weights(const std::string& checkpoint, Weights& weights);
/// Delayed scaling's histories and scales; nothing for other recipes. Part of load_training_state.
void load_precision_state(const std::string& checkpoint, Backend& backend, Weights& weights);
/// The rest: moments, delayed-scaling state, scaler, counters. Moments that were saved in another dtype than `weights` keeps are converted
/// (to bf16: rounded to nearest even).
TrainState load_training_state(const std::string& checkpoint, Backend& backend, Weights& weights, LossScaler& scaler, bool with_optimizer);
/// The config the checkpoint was made with: resolved and synchronised.
RunConfig load_run_config(const std::string& checkpoint);

}  // namespace mbt

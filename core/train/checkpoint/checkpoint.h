// The state of a run apart from tensors, and loading a checkpoint into a model that may use another number of ranks. See
// checkpoint_writer.h and checkpoint_index.h for the files, checkpoint_saver.h for how they are saved, and checkpoint_folder.h for how a
// checkpoint is chosen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config/origin.h"
#include "core/config/run_config.h"
#include "core/hf/hf_source.h"
#include "core/model/weights.h"
#include "core/optim/loss_scaler.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/train/checkpoint/checkpoint_reader.h"

namespace mbt {

/// Everything beside tensors that a run continues from. Random numbers are drawn by counters that follow from these and the config's seed.
struct TrainState {
  int64_t iteration = 0;          ///< finished iterations
  int64_t consumed_samples = 0;   ///< of the training split
  int64_t scheduler_samples = 0;  ///< samples of the steps that succeeded: the schedules' clock
  int64_t optimizer_updates = 0;  ///< Adam's t
  int64_t skipped_iterations = 0;
  double flops = 0.0;  ///< model FLOPs so far
};

// -- the files of a checkpoint that are one for all ranks
constexpr const char* kPrecisionFile = "precision.safetensors";
constexpr const char* kStateFile = "train_state.json";
constexpr const char* kConfigFile = "run_config.json";

/// The text of train_state.json.
std::string state_text(const TrainState& state, const LossScaler& scaler);
/// The text of run_config.json.
std::string config_text(const RunConfig& config);

// -- loading: every rank reads the elements that its Weights hold, from whatever number of ranks wrote them; nothing is exchanged.
/// Throws InputError for what loading would refuse, without reading tensors: files that are missing or of another size, parameters of
/// another model, no moments or no state of delayed scaling where the run continues with them, a sliding window that is too short.
void check_loadable(const CheckpointReader& checkpoint, const RunConfig& run);
/// Weights only (finetune, generate, evaluate): masters from the checkpoint; refresh_working() must follow, or what does it across ranks
/// (DataParallel::publish_masters).
void load_weights(const CheckpointReader& checkpoint, Weights& weights);
/// Delayed scaling's histories and scales; nothing for other recipes. Part of load_training_state.
void load_precision_state(const CheckpointReader& checkpoint, Backend& backend, Weights& weights);
/// The rest: moments, delayed-scaling state, scaler, counters. Moments that were saved in another dtype than `weights` keeps are converted
/// (to bf16: rounded to nearest even).
TrainState load_training_state(const CheckpointReader& checkpoint, Backend& backend, Weights& weights, LossScaler& scaler,
                               bool with_optimizer);
/// What the checkpoint carries of the Hugging Face folder that its model has come from; nothing: it has come from none.
std::optional<HfSource> load_hf_source(const CheckpointReader& checkpoint);
/// Throws InputError when the run's sequences are longer than the sliding window of the Hugging Face model that the checkpoint came from,
/// even if the run's config does not set it. Training would produce a different model.
void check_source_window(const CheckpointReader& checkpoint, const ModelConfig& model);
/// Returns the files that every checkpoint of a run carries (CheckpointSaver::carry): those of its Hugging Face folder and its tokenizer.
/// `loaded`, the checkpoint that the run continues from, takes precedence over model.hf_path; the config's tokenizer takes precedence over
/// the one in `loaded`. Returns nothing for a run that does not save.
std::vector<std::pair<std::string, std::string>> files_to_carry(const RunConfig& config, const CheckpointReader* loaded);
/// What the checkpoint carries of a tokenizer: the run's, else that of the Hugging Face folder; empty: neither, as with bytes.
TokenizerFiles load_tokenizer_files(const CheckpointReader& checkpoint);
/// The config the checkpoint was made with: resolved and synchronized, for as many ranks as wrote it.
RunConfig load_run_config(const CheckpointReader& checkpoint);
/// The same, and where in the checkpoint each value is.
RunConfig load_run_config(const CheckpointReader& checkpoint, Origins& origins);

}  // namespace mbt

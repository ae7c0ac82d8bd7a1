#include "core/train/checkpoint/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/json_text.h"
#include "core/config/assign.h"
#include "core/config/config_input.h"
#include "core/config/config_json.h"
#include "core/config/validate.h"
#include "core/hf/hf_config.h"
#include "core/numerics/codecs.h"
#include "core/recipe/validate.h"

namespace mbt {
namespace {

using nlohmann::json;

/// Into an f32 or bf16 tensor, rounded to nearest even where that is narrower than the file's.
void upload_rounded(Backend& backend, const std::vector<float>& values, const TensorView& to) {
  if (to.dtype == DType::f32) return backend.upload(values.data(), to);
  std::vector<uint16_t> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), encode_bf16);
  backend.upload(rounded.data(), to);
}

json state_json(const TrainState& s, const LossScaler& scaler) {
  return {{"iteration", s.iteration},
          {"consumed_samples", s.consumed_samples},
          {"scheduler_samples", s.scheduler_samples},
          {"optimizer_updates", s.optimizer_updates},
          {"skipped_iterations", s.skipped_iterations},
          {"flops", s.flops},
          {"loss_scaler",
           {{"scale", scaler.scale}, {"growth_tracker", scaler.growth_tracker}, {"hysteresis_tracker", scaler.hysteresis_tracker}}}};
}

TrainState state_from(const json& j, LossScaler& scaler) {
  TrainState s;
  s.iteration = count_at(j, "iteration");
  s.consumed_samples = count_at(j, "consumed_samples");
  s.scheduler_samples = count_at(j, "scheduler_samples");
  s.optimizer_updates = count_at(j, "optimizer_updates");
  s.skipped_iterations = count_at(j, "skipped_iterations");
  s.flops = j.at("flops");
  const json& l = j.at("loss_scaler");
  if (scaler.kind == LossScaling::constant) return s;  // a constant scale is the config's
  scaler.scale = l.at("scale");
  if (!(scaler.scale > 0) || !std::isfinite(scaler.scale))
    throw InputError(fmt::format("'scale' is {}, expected a number above 0", json_text(l.at("scale"))));
  scaler.growth_tracker = count_at(l, "growth_tracker");
  scaler.hysteresis_tracker = l.at("hysteresis_tracker");
  return s;
}

/// The elements that this rank holds.
void read_held(const CheckpointReader& checkpoint, Backend& backend, const Weights& weights, const std::string& prefix,
               const TensorView& buffer) {
  for (int64_t i = 0; i < weights.num_params(); ++i) {
    const TensorView to = weights.held_part(buffer, i);
    if (!to.empty()) upload_rounded(backend, checkpoint.read(prefix + weights.spec(i).name, weights.spec(i).shape, weights.held(i)), to);
  }
}

bool is_moment(const std::string& tensor) { return tensor.rfind("exp_avg.", 0) == 0 || tensor.rfind("exp_avg_sq.", 0) == 0; }

/// The tokenizer of the run that saved it; empty: bytes.
TokenizerFiles run_tokenizer(const CheckpointReader& checkpoint) {
  TokenizerFiles files;
  for (const CheckpointFile& file : checkpoint.index().files)
    if (file.name.rfind(kCarriedPrefix, 0) == 0)
      files.emplace_back(file.name.substr(std::string_view(kCarriedPrefix).size()), checkpoint.content(file.name));
  return files;
}

/// Also of what this rank reads nothing.
void require_same_model(const CheckpointReader& checkpoint, const ParamList& params) {
  for (const CheckpointTensor& t : checkpoint.index().tensors) {
    if (!is_moment(t.name) && params.index_of(t.name) < 0)
      throw InputError(fmt::format(
          "{}: tensor '{}' is none of this model's parameters. The checkpoint is of another model; its config is in {} beside it",
          checkpoint.index_path(), t.name, kConfigFile));
  }
  for (const ParamSpec& spec : params.specs) static_cast<void>(checkpoint.read(spec.name, spec.shape, {}));
}

void require_precision_state(const CheckpointReader& checkpoint) {
  if (checkpoint.index().find_file(kPrecisionFile)) return;
  throw InputError(fmt::format(
      "{}: holds no {}. It was saved by a recipe without delayed scaling: continue with that one, or set checkpoint.finetune=true",
      checkpoint.path(), kPrecisionFile));
}

void require_moments(const CheckpointReader& checkpoint) {
  const std::vector<CheckpointTensor>& tensors = checkpoint.index().tensors;
  if (std::any_of(tensors.begin(), tensors.end(), [](const CheckpointTensor& t) { return is_moment(t.name); })) return;
  throw InputError(
      fmt::format("{}: holds only weights, no Adam moments (written by `convert from-hf` or with checkpoint.save_optim=false). To start "
                  "a new run with these weights, set checkpoint.finetune=true; to resume the run that saved them, set "
                  "checkpoint.load_optim=false (moments start at zero)",
                  checkpoint.path()));
}

}  // namespace

std::string state_text(const TrainState& state, const LossScaler& scaler) {
  return json_text(state_json(state, scaler), {.indent = 2}) + "\n";
}
std::string config_text(const RunConfig& config) { return json_text(config) + "\n"; }

void check_loadable(const CheckpointReader& checkpoint, const RunConfig& run) {
  require_same_model(checkpoint, list_params(run.model));
  const bool continues = !run.checkpoint.finetune, is_delayed = run.model.fp8 && run.model.fp8_recipe == Fp8Recipe::delayed;
  if (continues && run.checkpoint.load_optim && !run.validation.skip_train) require_moments(checkpoint);
  if (continues && is_delayed) require_precision_state(checkpoint);
  check_source_window(checkpoint, run.model);
  checkpoint.check_sizes();
}

void load_weights(const CheckpointReader& checkpoint, Weights& weights) {
  require_same_model(checkpoint, weights.params());
  constexpr int64_t kAtOnce = 1 << 22;
  for (int64_t i = 0; i < weights.num_params(); ++i) {
    const ElementRange held = weights.held(i);
    for (int64_t first = 0; first < held.count; first += kAtOnce) {
      const ElementRange part{held.first + first, std::min(kAtOnce, held.count - first)};
      weights.set(i, checkpoint.read(weights.spec(i).name, weights.spec(i).shape, part), first);
    }
  }
}

void load_precision_state(const CheckpointReader& checkpoint, Backend& backend, Weights& weights) {
  const DelayedState& delayed = weights.delayed();
  if (delayed.empty()) return;
  require_precision_state(checkpoint);
  const SafetensorsFile& file = checkpoint.file(kPrecisionFile);
  const auto load = [&](const char* name, const TensorView& to) {
    const SafetensorsEntry& e = file.at(name);
    if (e.shape != extents_of(to.shape))
      throw InputError(fmt::format("{}: tensor '{}' has shape {}, this run's is {}: the checkpoint is of another recipe or another model",
                                   file.path(), name, shape_text(e.shape), to.shape.str()));
    backend.upload(file.read_f32(e).data(), to);
  };
  load("amax_history", delayed.history());
  load("scale", delayed.scale());
}

TrainState load_training_state(const CheckpointReader& checkpoint, Backend& backend, Weights& weights, LossScaler& scaler,
                               bool with_optimizer) {
  if (with_optimizer) {
    require_moments(checkpoint);
    read_held(checkpoint, backend, weights, "exp_avg.", weights.exp_avg());
    read_held(checkpoint, backend, weights, "exp_avg_sq.", weights.exp_avg_sq());
  }
  load_precision_state(checkpoint, backend, weights);
  const JsonDocument document = checkpoint.json(kStateFile);
  try {
    const TrainState state = state_from(document.root, scaler);
    if (state.iteration != checkpoint.index().iteration)
      throw InputError(fmt::format("'iteration' is {} in the checkpoint of iteration {}", state.iteration, checkpoint.index().iteration));
    return state;
  } catch (const std::exception& e) {
    throw InputError(fmt::format("{}: not the state of a training run: {}", document.source, e.what()));
  }
}

std::optional<HfSource> load_hf_source(const CheckpointReader& checkpoint) {
  if (!checkpoint.index().find_file(kHfSourceFile)) return std::nullopt;
  return read_hf_source_files([&](const std::string& name) { return checkpoint.content(name); });
}

void check_source_window(const CheckpointReader& checkpoint, const ModelConfig& model) {
  const std::optional<HfSource> source = load_hf_source(checkpoint);
  if (!source) return;
  const JsonDocument document = parse_json(source->config, fmt::format("{}/hf.config.json", checkpoint.path()), {.is_of_others = true});
  const std::string problem = sliding_window_problem(hf_model(document), model.seq_length);
  if (!problem.empty()) throw InputError(fmt::format("{}: {}", document.where("/sliding_window"), problem));
}

TokenizerFiles load_tokenizer_files(const CheckpointReader& checkpoint) {
  const TokenizerFiles files = run_tokenizer(checkpoint);
  if (has_tokenizer(files)) return files;
  const std::optional<HfSource> source = load_hf_source(checkpoint);
  return source && has_tokenizer(source->files) ? source->files : TokenizerFiles{};
}

std::vector<std::pair<std::string, std::string>> files_to_carry(const RunConfig& config, const CheckpointReader* loaded) {
  if (config.checkpoint.save.empty()) return {};  // nobody will ask: a tokenizer is megabytes
  std::optional<HfSource> source = loaded != nullptr ? load_hf_source(*loaded) : std::nullopt;
  if (!source && !config.model.hf_path.empty()) source = HfSource::read(config.model.hf_path, config.model);
  std::vector<std::pair<std::string, std::string>> files = source ? hf_source_files(*source) : TokenizerFiles{};
  TokenizerFiles tokenizer;
  if (config.tokenizer.has_files()) tokenizer = read_tokenizer_files(config.tokenizer.tokenizer_model, config.tokenizer.merge_file);
  else if (loaded != nullptr) tokenizer = run_tokenizer(*loaded);
  for (auto& [name, content] : tokenizer) files.emplace_back(kCarriedPrefix + name, std::move(content));
  return files;
}

RunConfig load_run_config(const CheckpointReader& checkpoint) {
  Origins origins;
  return load_run_config(checkpoint, origins);
}

RunConfig load_run_config(const CheckpointReader& checkpoint, Origins& origins) {
  const JsonDocument document = checkpoint.json(kConfigFile);
  std::vector<Assignment> assignments;
  std::vector<Problem> problems;
  for (const auto& [section, fields] : document.root.items()) {
    if (section == kResolvedMark) continue;
    if (!fields.is_object()) throw InputError(fmt::format("{}: section {} is not an object", document.source, section));
    for (const auto& [field, value] : fields.items()) {
      assignments.push_back({section, field, value, {Origin::Kind::checkpoint, document.where("/" + section + "/" + field)}});
    }
  }
  RunConfig config;
  apply_assignments(config, assignments, origins, problems);
  if (!problems.empty()) throw_problems(problems);
  validate_shape(config, static_cast<int>(checkpoint.index().ranks), problems);
  validate_precision(config, origins, problems);
  if (!problems.empty()) throw_problems(problems);
  return config;
}

}  // namespace mbt

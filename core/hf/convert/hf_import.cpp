#include "core/hf/convert/hf_import.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/json_text.h"
#include "core/config/config_input.h"
#include "core/config/config_json.h"
#include "core/config/validate.h"
#include "core/hf/hf_config.h"
#include "core/hf/hf_source.h"
#include "core/hf/hf_weights.h"
#include "core/io/atomic_folder.h"
#include "core/io/float_elements.h"
#include "core/model/params.h"
#include "core/recipe/resolve.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/train/checkpoint/checkpoint.h"
#include "core/train/checkpoint/checkpoint_folder.h"
#include "core/train/checkpoint/checkpoint_writer.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizerFolder = "tokenizer";
constexpr int64_t kImportedAtOnce = 4 << 20;  // elements

/// Whether every weight has this type.
bool all_are(const HfWeights& weights, SafetensorsType type) {
  return std::all_of(weights.slices().begin(), weights.slices().end(),
                     [&](const HfSlice& s) { return weights.folder().at(s.hf_name).type == type; });
}

/// The precision that the model was stored in is the one it is used in, unless a run says otherwise.
const char* recipe_of(const HfWeights& weights) {
  return all_are(weights, SafetensorsType::BF16) ? "bf16_mixed" : all_are(weights, SafetensorsType::F16) ? "fp16_mixed" : "fp32";
}

/// Also checked by all rules between fields (heads that divide, even head widths, ...).
RunConfig resolve_model(const std::string& folder, const JsonDocument& config, std::optional<int64_t> seq_length, const char* recipe) try {
  ConfigInput input;
  input.recipe = recipe;
  input.recipe_origin = {Origin::Kind::derived, "the dtype of the weights"};
  input.assignments = hf_assignments(config);
  const ModelConfig model = hf_model(config);
  input.assignments.push_back({"model",
                               "seq_length",
                               nlohmann::json(seq_length.value_or(std::min(model.seq_length, model.max_positions()))),
                               {Origin::Kind::derived, "max_position_embeddings"}});
  return resolve_run(input).config;
} catch (const InputError& e) {
  const std::string what = e.what();
  throw InputError(what.rfind(folder, 0) == 0 ? what : fmt::format("{}/config.json: {}", folder, what));
}

/// The model's own length, where nobody asks for another: shorter sequences than it is made for would be a surprise.
void check_length(const std::string& folder, const ModelConfig& model, std::optional<int64_t> seq_length) {
  const std::string problem = sliding_window_problem(model, seq_length.value_or(model.max_positions()));
  if (!problem.empty())
    throw InputError(fmt::format("{}/config.json: {}{}", folder, problem,
                                 seq_length ? "" : fmt::format("; --seq-length {} makes a run of such sequences", *model.sliding_window)));
  if (seq_length.value_or(1) > model.max_positions())
    throw InputError(fmt::format("--seq-length {}: the model has {} positions", *seq_length, model.max_positions()));
}

/// The parameters' values in the type that the checkpoint keeps them in, one parameter after another.
class ParameterSource {
 public:
  ParameterSource(const HfWeights& weights, const ParamList& params, const ConversionProgress& progress)
      : weights_(weights), progress_(progress) {
    for (const ParamSpec& s : params.specs) tensors_.push_back({.name = s.name, .type = type_of(s.name), .shape = extents_of(s.shape)});
    for (const TensorToWrite& t : tensors_) total_ += t.size_bytes();
  }

  const std::vector<TensorToWrite>& tensors() const { return tensors_; }

  const void* values(size_t i) {
    const TensorToWrite& t = tensors_[i];
    bytes_.assign(static_cast<size_t>(t.size_bytes()), '\0');  // rows of padding stay 0
    for (const HfSlice& s : weights_.slices())
      if (s.parameter == t.name) add(s, t.type);
    return bytes_.data();
  }

 private:
  SafetensorsType type_of(const std::string& parameter) const {
    for (const HfSlice& s : weights_.slices())
      if (s.parameter == parameter && weights_.folder().at(s.hf_name).type != SafetensorsType::BF16) return SafetensorsType::F32;
    return SafetensorsType::BF16;
  }

  void add(const HfSlice& s, SafetensorsType type) {
    const SafetensorsEntry& entry = weights_.folder().at(s.hf_name);
    const int64_t width = size_of(entry.type);
    std::vector<char> read(static_cast<size_t>(std::min(kImportedAtOnce, entry.size()) * width));
    std::vector<float> decoded(entry.type == type ? 0 : static_cast<size_t>(std::min(kImportedAtOnce, entry.size())));
    for (int64_t first = 0; first < entry.size(); first += kImportedAtOnce) {
      const int64_t count = std::min(kImportedAtOnce, entry.size() - first);
      weights_.read_elements(s, first, count, read.data());
      if (entry.type == type) {
        scatter_elements(s, first, count, width, read.data(), bytes_.data());
      } else {
        decode_elements(entry.type, read.data(), count, decoded.data());
        scatter_elements(s, first, count, sizeof(float), reinterpret_cast<const char*>(decoded.data()), bytes_.data());
      }
      done_ += count * size_of(type);
      progress_(std::min(done_, total_), total_);
    }
  }

  const HfWeights& weights_;
  const ConversionProgress& progress_;
  std::vector<TensorToWrite> tensors_;
  std::vector<char> bytes_;
  int64_t done_ = 0, total_ = 0;
};

/// The fields that config.json sets, and the tokenizer, for `mbtrain --config`.
std::string architecture_text(const RunConfig& config, const JsonDocument& source) {
  const nlohmann::ordered_json all = to_json(config);
  nlohmann::ordered_json model;
  for (const Assignment& a : hf_assignments(source)) model[a.field] = all["model"][a.field];
  model["seq_length"] = config.model.seq_length;
  return json_text(nlohmann::ordered_json{{"model", std::move(model)}, {"tokenizer", all["tokenizer"]}}, {.indent = 2}) + "\n";
}

std::string tokenizer_problem(const std::string& folder) {
  try {
    static_cast<void>(open_tokenizer(folder));
    return "";
  } catch (const InputError& e) {
    return e.what();
  }
}

/// The model's tokenizer lies beside its checkpoint, under the name that the config gives.
void write_tokenizer(const AtomicFolder& target, const std::string& folder) {
  const std::string to = target.file(kTokenizerFolder);
  fs::create_directory(to);
  for (const auto& [name, content] : read_tokenizer_files(folder)) write_file_atomically((fs::path(to) / name).string(), content);
}

/// In a folder of its own, which is complete when metadata.json is there.
void write_checkpoint(const std::string& folder, const RunConfig& config, const HfWeights& weights, const HfSource& source,
                      const ConversionProgress& progress) {
  const auto path = [&](const std::string& name) { return (fs::path(folder) / name).string(); };
  ParameterSource values(weights, list_params(config.model), progress);
  CheckpointIndex index{.program = checkpoint_program(), .ranks = 1, .iteration = 0, .save_number = 1, .files = {}, .tensors = {}};
  const std::string file = weights_file_name(0, 1);
  for (const TensorToWrite& t : values.tensors()) {
    index.tensors.push_back({.name = t.name, .type = t.type, .shape = t.shape, .pieces = {}});
    index.tensors.back().pieces.push_back({file, 0, index.tensors.back().size()});
  }
  index.files.push_back(
      {file, write_safetensors(path(file), values.tensors(), {{"format", "mbtrain"}}, [&](size_t i) { return values.values(i); })});
  std::vector<std::pair<std::string, std::string>> texts = hf_source_files(source);
  texts.emplace_back(kStateFile, state_text({}, make_loss_scaler(config.optimizer)));
  texts.emplace_back(kConfigFile, config_text(config));
  for (const auto& [name, content] : texts) index.files.push_back({name, write_file_atomically(path(name), content)});
  write_file_atomically(path(kIndexFile), index_text(index));
}

}  // namespace

HfImport import_hf(const std::string& folder, const std::string& out, std::optional<int64_t> seq_length,
                   const ConversionProgress& progress) {
  const JsonDocument document = read_hf_config(folder);
  const ModelConfig model = hf_model(document);
  check_length(folder, model, seq_length);
  resolve_model(folder, document, seq_length, "fp32");  // the rules between fields, before names and shapes are compared
  const HfWeights weights(folder, model);
  RunConfig config = resolve_model(folder, document, seq_length, recipe_of(weights));
  const std::optional<TokenizerType> tokenizer = tokenizer_type_in(folder);
  config.tokenizer = tokenizer ? TokenizerConfig{*tokenizer, fs::absolute(fs::path(out) / kTokenizerFolder).lexically_normal().string()}
                               : TokenizerConfig{TokenizerType::none, ""};
  const HfSource source = HfSource::read(folder, config.model);

  AtomicFolder target(out);
  const std::string temporary = target.file(temporary_name(0, "import"));
  fs::create_directory(temporary);
  write_checkpoint(temporary, config, weights, source, progress);
  publish_checkpoint(temporary, 0);
  if (tokenizer) write_tokenizer(target, folder);
  write_file_atomically(target.file(kConfigFile), architecture_text(config, document));
  target.commit();

  return {.checkpoint = (fs::path(out) / iteration_name(0)).string(),
          .config_file = (fs::path(out) / kConfigFile).string(),
          .model_type = hf_model_type(document),
          .num_params = list_params(config.model).num_params,
          .padded_vocab_size = config.model.padded_vocab_size(),
          .vocab_size = config.model.vocab_size,
          .tokenizer_problem = tokenizer ? tokenizer_problem(folder) : "",
          .sliding_window = model.longest_sequence() < model.max_positions() ? model.sliding_window : std::nullopt};
}

}  // namespace mbt

#include "core/eval/model_folder.h"

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/config/command_line.h"
#include "core/data/sft/chat_template.h"
#include "core/hf/hf_config.h"
#include "core/hf/hf_config_writer.h"
#include "core/io/files.h"
#include "core/model/initialize.h"
#include "core/recipe/resolve.h"
#include "core/recipe/synchronize.h"
#include "core/recipe/validate.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/train/checkpoint/checkpoint.h"
#include "core/train/checkpoint/checkpoint_folder.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

bool is_hf_folder(const std::string& folder) {
  std::error_code unknown;
  return fs::is_regular_file(fs::path(folder) / "config.json", unknown);
}

RunConfig hf_run_config(const ModelFolderOptions& options) {
  if (options.step) throw InputError(fmt::format("--ckpt-step: {} is a Hugging Face folder, which holds one model", options.folder));
  const int64_t longest = hf_model(read_hf_config(options.folder)).longest_sequence();
  std::vector<std::string> args = {"--model.hf_path", options.folder, "--seq-length", std::to_string(std::min<int64_t>(longest, 2048))};
  if (!options.recipe.empty()) args.insert(args.end(), {"--mixed-precision", options.recipe});
  return resolve_run(parse_config_arguments(args)).config;
}

/// The same model computed as another recipe says.
void set_recipe(RunConfig& config, const std::string& recipe) {
  config.mixed_precision = resolve_run(parse_config_arguments({"--mixed-precision", recipe})).config.mixed_precision;
  Origins origins;
  std::vector<Problem> problems;
  synchronize(config, origins, problems);
  validate_precision(config, origins, problems);
  if (!problems.empty()) throw_problems(problems);
}

std::unique_ptr<Tokenizer> own_tokenizer(const ModelFolder& model) {
  if (model.checkpoint) {
    const TokenizerFiles carried = load_tokenizer_files(*model.checkpoint);
    return has_tokenizer(carried) ? open_tokenizer(carried, model.checkpoint->path()) : make_tokenizer(model.config.tokenizer);
  }
  return open_tokenizer(model.config.model.hf_path);
}

std::unique_ptr<Tokenizer> find_tokenizer(const ModelFolder& model, const ModelFolderOptions& options) {
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    tokenizer = options.tokenizer.empty()      ? own_tokenizer(model)
                : options.tokenizer == "bytes" ? make_byte_tokenizer()
                                               : open_tokenizer(options.tokenizer);
  } catch (const InputError& e) {
    if (!options.tokenizer.empty()) throw InputError(fmt::format("--tokenizer: {}", e.what()));
    throw InputError(fmt::format("{}: its tokenizer cannot be used: {}; --tokenizer names another", options.folder, e.what()));
  }
  const int64_t tokens = tokenizer->vocab_size(), vocabulary = model.config.model.vocab_size;
  if (tokens > vocabulary)
    throw InputError(
        fmt::format("{}: the model has {} tokens, the tokenizer {} ({})", options.folder, vocabulary, tokens, tokenizer->describe()));
  return tokenizer;
}

/// As transformers: of generation_config.json, else of config.json. `read` gives a file of the folder; nothing: there is none.
template <class Read>
std::vector<int32_t> hf_end_tokens(Read read) {
  for (const char* name : {"generation_config.json", "config.json"})
    if (const std::optional<std::string> content = read(name))
      if (std::vector<int32_t> ends = hf_eos_tokens(*content, name); !ends.empty()) return ends;
  return {};
}

/// Of a run of fine-tuning; another tokenizer may lack it.
std::optional<int32_t> end_of_turn(const ModelFolder& model) {
  const DatasetConfig& data = model.config.dataset;
  if (!model.checkpoint || data.kind != DatasetKind::sft) return std::nullopt;
  try {
    return ChatTemplate(data.chat_template, *model.tokenizer, model.end_of_text).end_of_turn();
  } catch (const InputError&) {
    return std::nullopt;
  }
}

std::vector<int32_t> own_end_tokens(const ModelFolder& model) {
  std::vector<int32_t> ends;
  for (const std::optional<int32_t> id : {model.tokenizer->eos_id(), model.tokenizer->eod_id(), model.end_of_text, end_of_turn(model)})
    if (id && std::find(ends.begin(), ends.end(), *id) == ends.end()) ends.push_back(*id);
  return ends;
}

std::optional<int32_t> find_end_of_text(const ModelFolder& model) {
  const std::optional<int64_t>& of_data = model.config.dataset.eod_token_id;
  return model.checkpoint && of_data ? std::optional(static_cast<int32_t>(*of_data)) : model.tokenizer->eod_id();
}

/// A trained model ends texts as its data did, too.
std::vector<int32_t> find_end_tokens(const ModelFolder& model) {
  const std::vector<int32_t> own = own_end_tokens(model);
  if (model.checkpoint) {
    const std::optional<HfSource> source = load_hf_source(*model.checkpoint);
    std::vector<int32_t> ends =
        !source ? std::vector<int32_t>() : hf_end_tokens([&](const std::string& name) -> std::optional<std::string> {
          if (name == "config.json") return source->config;
          const auto file = std::find_if(source->files.begin(), source->files.end(), [&](const auto& f) { return f.first == name; });
          return file == source->files.end() ? std::nullopt : std::optional(file->second);
        });
    ends.insert(ends.end(), own.begin(), own.end());
    return ends;
  }
  const std::vector<int32_t> ends = hf_end_tokens([&](const std::string& name) -> std::optional<std::string> {
    const fs::path path = fs::path(model.config.model.hf_path) / name;
    return fs::exists(path) ? std::optional(read_text_file(path.string())) : std::nullopt;
  });
  return ends.empty() ? own : ends;
}

}  // namespace

ModelFolder open_model_folder(const ModelFolderOptions& options) {
  ModelFolder model;
  if (is_hf_folder(options.folder)) {
    model.config = hf_run_config(options);
  } else {
    const std::optional<FoundCheckpoint> found = find_checkpoint(options.folder, options.step);
    if (!found)
      throw InputError(fmt::format("checkpoint.load: {} holds no checkpoint, and no config.json of a Hugging Face model", options.folder));
    model.note = found->note;
    model.checkpoint = std::make_unique<CheckpointReader>(found->path);
    model.config = load_run_config(*model.checkpoint);
    if (!options.recipe.empty()) set_recipe(model.config, options.recipe);
  }
  model.tokenizer = find_tokenizer(model, options);
  model.end_of_text = find_end_of_text(model);
  model.end_tokens = find_end_tokens(model);
  return model;
}

std::unique_ptr<Weights> load_model(const ModelFolder& model, const PrecisionPolicy& policy, Backend& backend) {
  auto weights = std::make_unique<Weights>(backend, model.config.model, policy, false);
  if (model.checkpoint) {
    load_weights(*model.checkpoint, *weights);
    const bool is_as_trained = load_run_config(*model.checkpoint).mixed_precision.name == model.config.mixed_precision.name;
    if (is_as_trained) load_precision_state(*model.checkpoint, backend, *weights);
  } else {
    initialize_weights(*weights, model.config.model, static_cast<uint64_t>(model.config.rng.seed));
  }
  weights->refresh_working();
  return weights;
}

}  // namespace mbt

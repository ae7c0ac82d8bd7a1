#include "core/train/resolve_loading.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/config/architecture.h"
#include "core/config/config_json.h"
#include "core/config/field_table.h"
#include "core/model/params.h"
#include "core/recipe/bridge_overrides.h"
#include "core/tokenizer/compare_tokenizers.h"
#include "core/train/checkpoint/checkpoint.h"
#include "core/train/checkpoint/checkpoint_folder.h"

namespace mbt {
namespace {

/// The checkpoint of a run, with its settings where it says them.
struct LoadedCheckpoint {
  std::string path;
  RunConfig config;
  Origins origins;
  TokenizerConfig tokenizer;          ///< as it can be opened now
  std::unique_ptr<Tokenizer> tokens;  ///< nullptr: unknown
};

/// What the input says about one section and the defaults elsewhere. What is wrong with it, resolve_run() says.
RunConfig read_section(const ConfigInput& input, const char* section) {
  std::vector<std::string> notes;
  std::vector<Problem> problems;
  std::vector<Assignment> own = in_own_terms(input.assignments, notes, problems);
  std::erase_if(own, [&](const Assignment& a) { return underscored(a.section) != section; });
  RunConfig config;
  Origins origins;
  apply_assignments(config, own, origins, problems);
  return config;
}

bool is_same_tokenizer(const std::string& path, const TokenizerFiles& carried) {
  try {
    return read_tokenizer_files(path) == carried;
  } catch (const InputError&) {
    return false;  // not there any more
  }
}

/// The tokenizer stays where the run had it as long as it is the same there; else it is read from the checkpoint.
TokenizerConfig tokenizer_of(const CheckpointReader& checkpoint, const TokenizerConfig& saved) {
  if (!saved.has_files()) return saved;
  const TokenizerFiles carried = load_tokenizer_files(checkpoint);
  if (!has_tokenizer(carried) || is_same_tokenizer(saved.tokenizer_model, carried)) return saved;
  return {saved.tokenizer_type, checkpoint.path()};
}

/// Bytes are also what a config says whose data never needed a tokenizer: then the vocabulary is larger.
std::unique_ptr<Tokenizer> tokens_of(const CheckpointReader& checkpoint, const RunConfig& saved) {
  const bool is_bytes = saved.tokenizer.tokenizer_type == TokenizerType::bytes;
  if (is_bytes) return saved.model.vocab_size == 256 ? make_byte_tokenizer() : nullptr;
  if (!saved.tokenizer.has_files()) return nullptr;
  const TokenizerFiles carried = load_tokenizer_files(checkpoint);
  return has_tokenizer(carried) ? open_tokenizer(carried, checkpoint.path()) : nullptr;
}

std::optional<LoadedCheckpoint> find_loaded(const ConfigInput& input) {
  const CheckpointConfig c = read_section(input, "checkpoint").checkpoint;
  const std::optional<FoundCheckpoint> found = find_start(c);
  if (!found) return std::nullopt;
  const CheckpointReader checkpoint(found->path, c.verify_integrity);
  LoadedCheckpoint loaded{.path = found->path, .config = {}, .origins = {}, .tokenizer = {}, .tokens = nullptr};
  loaded.config = load_run_config(checkpoint, loaded.origins);
  loaded.tokenizer = tokenizer_of(checkpoint, loaded.config.tokenizer);
  loaded.tokens = tokens_of(checkpoint, loaded.config);
  return loaded;
}

/// What comes along with the weights.
bool comes_along(const Field& field) {
  static const char* const others[] = {"model.seq_length", "tokenizer.tokenizer_type", "tokenizer.tokenizer_model", "dataset.chat_template",
                                       "dataset.eod_token_id"};
  const std::string path = field.path();
  return is_of_architecture(field) || std::any_of(std::begin(others), std::end(others), [&](const char* other) { return path == other; });
}

std::vector<Assignment> settings_of(const LoadedCheckpoint& loaded) {
  RunConfig config = loaded.config;
  config.tokenizer = loaded.tokenizer;
  const FieldTable table(config);
  std::vector<Assignment> settings;
  for (const Field& field : table.all()) {
    if (!comes_along(field)) continue;
    const std::string where = origin_of(loaded.origins, field.path()).text;
    settings.push_back({field.section, field.info.name, field.get(), {Origin::Kind::checkpoint, where.empty() ? loaded.path : where}});
  }
  return settings;
}

/// A saved config names the tokenizer where it was once; the checkpoint of the same run carries it.
void drop_same_tokenizer(const LoadedCheckpoint& loaded, ConfigInput& input) {
  if (!(read_section(input, "tokenizer").tokenizer == loaded.config.tokenizer)) return;
  std::erase_if(input.assignments, [](const Assignment& a) { return underscored(a.section) == "tokenizer"; });
}

bool have_same_params(const ModelConfig& a, const ModelConfig& b) {
  const ParamList of_a = list_params(a), of_b = list_params(b);
  return std::equal(of_a.specs.begin(), of_a.specs.end(), of_b.specs.begin(), of_b.specs.end(),
                    [](const ParamSpec& x, const ParamSpec& y) { return x.name == y.name && x.shape == y.shape; });
}

bool computes_the_same(const ModelConfig& a, const ModelConfig& b) {
  const std::vector<ArchitectureDifference> all = architecture_differences(a, b);
  return std::all_of(all.begin(), all.end(), [](const ArchitectureDifference& d) { return d.part == ArchitecturePart::bound; });
}

/// A field of the architecture that the run has otherwise than its checkpoint, and what it would do alone.
struct ChangedField {
  std::string path;
  FieldDifference values;
  bool changes_params, changes_result;
};

std::vector<ChangedField> changed_fields(const RunConfig& saved, const RunConfig& now) {
  std::vector<ChangedField> changed;
  for (const FieldDifference& d : difference(saved, now)) {
    RunConfig alone = saved;
    FieldTable table(alone);
    const size_t dot = d.path.find('.');
    Field& field = *table.find(d.path.substr(0, dot), d.path.substr(dot + 1));
    if (!is_of_architecture(field)) continue;
    const auto wrong = field.set(*d.right);
    MBT_CHECK(!wrong, "{}: {}", d.path, wrong.value_or(""));
    changed.push_back({d.path, d, !have_same_params(saved.model, alone.model), !computes_the_same(saved.model, alone.model)});
  }
  return changed;
}

/// Weights that fit may still be of a model that computes something else.
void compare_architecture(const LoadedCheckpoint& loaded, ResolvedRun& run) {
  const ModelConfig &then = loaded.config.model, &now = run.config.model;
  const bool fits = have_same_params(then, now);
  if (fits && computes_the_same(then, now)) return;
  const std::vector<ChangedField> changed = changed_fields(loaded.config, run.config);
  const bool has_culprit = std::any_of(changed.begin(), changed.end(), [](const ChangedField& c) { return c.changes_params; });
  std::vector<Problem> problems;
  std::vector<std::string> others;
  for (const ChangedField& c : changed) {
    const std::string now_from = to_string(origin_of(run.origins, c.path)), then_from = to_string(origin_of(loaded.origins, c.path));
    if (fits && (c.changes_params || c.changes_result)) {
      others.push_back(
          fmt::format("{} {} ({}) -> {} ({})", c.path, json_text(c.values.left), then_from, json_text(c.values.right), now_from));
    } else if (!fits && (c.changes_params || !has_culprit)) {
      problems.push_back({fmt::format("{} ({})", c.path, now_from),
                          fmt::format("got {}, expected {}, which the weights in {} have ({}): leave the setting out, the checkpoint "
                                      "brings its own",
                                      json_text(c.values.right), json_text(c.values.left), loaded.path, then_from)});
    }
  }
  if (!problems.empty()) throw_problems(problems);
  if (others.empty()) return;
  run.notes.push_back(
      fmt::format("the checkpoint {} is of a model that computes something else, though its weights have the same shapes: {}. If this is "
                  "not meant, leave the setting out, the checkpoint brings its own",
                  loaded.path, join(others, ", ")));
}

/// A model has learned what its tokens mean.
void compare_tokens(const LoadedCheckpoint& loaded, const ResolvedRun& run) {
  const TokenizerConfig& t = run.config.tokenizer;
  if (!loaded.tokens || t.tokenizer_type == TokenizerType::none || t == loaded.tokenizer) return;
  const std::unique_ptr<Tokenizer> now = make_tokenizer(t);
  const std::string difference = vocabulary_difference(*loaded.tokens, *now);
  if (difference.empty()) return;
  const Origin of_model = origin_of(run.origins, "tokenizer.tokenizer_model"), of_type = origin_of(run.origins, "tokenizer.tokenizer_type");
  throw InputError(
      fmt::format("tokenizer.{} ({}): {} is another tokenizer than that of the checkpoint {}, {}: {}. The model has learned what those "
                  "tokens mean; leave the setting out, the checkpoint brings its tokenizer",
                  t.has_files() ? "tokenizer_model" : "tokenizer_type", to_string(t.has_files() ? of_model : of_type), now->describe(),
                  loaded.path, loaded.tokens->describe(), difference));
}

}  // namespace

ResolvedRun resolve_loading(ConfigInput input, int ranks) {
  std::optional<LoadedCheckpoint> loaded;
  try {
    loaded = find_loaded(input);
  } catch (const InputError&) {
    if (input.problems.empty()) throw;  // else what is wrong with the arguments comes first
  }
  if (loaded) {
    drop_same_tokenizer(*loaded, input);
    input.loaded = settings_of(*loaded);
  }
  ResolvedRun run = resolve_run(input, ranks);
  if (!loaded) return run;
  compare_architecture(*loaded, run);
  compare_tokens(*loaded, run);
  return run;
}

}  // namespace mbt

#include "core/recipe/resolve.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/config_input.h"
#include "core/config/validate.h"
#include "core/hf/hf_config.h"
#include "core/hf/hf_overrides.h"
#include "core/recipe/bridge_overrides.h"
#include "core/recipe/finalize.h"
#include "core/recipe/library.h"
#include "core/recipe/notes.h"
#include "core/recipe/validate.h"
#include "core/tokenizer/open_tokenizer.h"

namespace mbt {
namespace {

/// `word` stands in `text` between characters that no field name has.
bool has_word(std::string_view text, std::string_view word) {
  const auto in_name = [&](size_t i) { return i < text.size() && (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_'); };
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1))
    if ((at == 0 || !in_name(at - 1)) && !in_name(at + word.size())) return true;
  return false;
}

constexpr const char* kFp16Recipe = "fp16_mixed";  // of --fp16

/// --fp16 and --bf16 against each other and against the recipe.
void check_bases(const ConfigInput& input, const Recipe& recipe, std::vector<Problem>& problems) {
  if (input.bases.size() > 1) {
    problems.push_back({"command line, --fp16 and --bf16", "each chooses a recipe; give one of them"});
    return;
  }
  for (const BaseChoice& base : input.bases) {
    if (base.is_fp16 ? recipe.config.fp16 : recipe.config.bf16) continue;
    problems.push_back(
        {fmt::format("command line, {}", base.origin.text),
         fmt::format("the recipe is {} ({}), which is not of that type; leave out {}, or name a recipe of {} (`mbtrain recipes` "
                     "lists them)",
                     recipe.name, to_string(input.recipe_origin), base.origin.text, base.type())});
  }
}

bool is_precision(const Assignment& a) { return underscored(a.section) == "mixed_precision"; }

/// The recipe the input names, spells out or leaves to --fp16, --bf16 or the default. On a bad name: a problem, and the default.
Recipe choose_recipe(const ConfigInput& input, const RecipeLibrary& library, std::vector<Problem>& problems) {
  if (input.inline_recipe) return library.from_inline(**input.inline_recipe, input.inline_origins, input.recipe_origin, problems);
  if (!input.recipe) return library.get(!input.bases.empty() && input.bases.front().is_fp16 ? kFp16Recipe : kDefaultRecipe);
  try {
    return library.get_or_read(*input.recipe);
  } catch (const InputError& e) {
    problems.push_back({"mixed_precision (" + to_string(input.recipe_origin) + ")", e.what()});
    return library.get(kDefaultRecipe);
  }
}

class Resolver {
 public:
  Resolver(const ConfigInput& input, int ranks) : input_(input), ranks_(ranks), problems_(input.problems) {
    std::partition_copy(input.assignments.begin(), input.assignments.end(), std::back_inserter(precision_), std::back_inserter(others_),
                        is_precision);
    others_ = in_own_terms(others_, run_.notes, problems_);
  }

  ResolvedRun run() {
    apply_assignments(run_.config, input_.defaults, run_.origins, problems_);
    apply_assignments(run_.config, input_.loaded, run_.origins, problems_);
    apply_hf_folder();
    const RunConfig imported = run_.config;
    apply_assignments(run_.config, others_, run_.origins, problems_);
    if (has_import_) compare_with_import(imported, run_.config, run_.origins, problems_, run_.notes);
    derive_tokenizer();
    derive_vocab();
    apply_recipe();
    derive_batch();
    if (!problems_.empty()) add_shape_problems();
    stop_on_problems();  // the rules below would only repeat in other words what is wrong with one value
    run_.overwrites = synchronize(run_.config, run_.origins, problems_);
    name_lost_settings();
    derive();
    validate_shape(run_.config, ranks_, problems_);
    validate_precision(run_.config, run_.origins, problems_);
    stop_on_problems();
    for (std::string& note : precision_notes(run_.config, ranks_, run_.origins)) run_.notes.push_back(std::move(note));
    return std::move(run_);
  }

 private:
  void stop_on_problems() const {
    if (!problems_.empty()) throw_problems(problems_);
  }

  /// The rules across fields too, so that one try shows everything; but none that speaks of a field whose value was refused, and none when
  /// values are missing altogether (an unreadable file or folder).
  void add_shape_problems() {
    std::vector<std::string> refused;
    for (const Problem& p : problems_) {
      if (p.where == "config file" || p.where.rfind("model.hf_path", 0) == 0) return;
      if (!p.field.empty()) refused.push_back(p.field.substr(p.field.find('.') + 1));
    }
    std::vector<Problem> found;
    validate_shape(run_.config, ranks_, found);
    for (const Problem& p : found) {
      const bool is_doubtful = std::any_of(refused.begin(), refused.end(),
                                           [&](const std::string& field) { return has_word(p.where, field) || has_word(p.what, field); });
      if (!is_doubtful) problems_.push_back(p);
    }
  }

  /// What the user wrote and the recipe says otherwise. Defaults that give way are no news.
  void name_lost_settings() {
    for (const Overwrite& o : run_.overwrites) {
      if (!is_said(o.old_origin) || o.source.rfind("mixed_precision.", 0) != 0) continue;
      run_.notes.push_back(fmt::format("{}.{} is {}, not the {} of the {}: the recipe decides it ({} is {}, {}); set {} instead", o.section,
                                       o.field, json_text(o.new_value), json_text(o.old_value), to_string(o.old_origin), o.source,
                                       json_text(o.new_value), to_string(origin_of(run_.origins, o.source)), o.source));
    }
  }

  /// model.hf_path, whoever sets it, comes before all other settings: the user's own override what the folder says.
  void apply_hf_folder() {
    const Assignment* folder = nullptr;
    for (const Assignment& a : others_)
      if (underscored(a.section) == "model" && underscored(a.field) == "hf_path") folder = &a;
    if (!folder || !folder->value->is_string() || folder->value->get<std::string>().empty()) return;
    std::error_code none;
    const bool is_gone =
        folder->origin.kind == Origin::Kind::config_file && !std::filesystem::exists(folder->value->get<std::string>(), none);
    if (is_gone && !input_.loaded.empty()) return;  // a run that began with it goes on from its checkpoint, which has all of it
    try {
      apply_hf_config(folder->value->get<std::string>(), run_.config, run_.origins);
      has_import_ = true;
    } catch (const InputError& e) {
      problems_.push_back({"model.hf_path (" + to_string(folder->origin) + ")", e.what()});
      return;
    }
    ModelConfig& m = run_.config.model;
    if (m.max_positions() < m.seq_length) {
      m.seq_length = m.max_positions();
      run_.origins["model.seq_length"] = {Origin::Kind::derived, "the longest sequence of model.hf_path"};
    }
  }

  /// A saved config says all of it, also what was a default.
  bool is_given(const std::string& field) const {
    const Origin origin = origin_of(run_.origins, field);
    return is_said(origin) || origin.kind == Origin::Kind::resolved;
  }

  /// A tokenizer that is named without its type has the type that its file says. A model from a folder, and nobody names a tokenizer: text
  /// is the tokens that the model knows, or nothing that could be trained on.
  void derive_tokenizer() {
    TokenizerConfig& t = run_.config.tokenizer;
    const std::string type_field = "tokenizer.tokenizer_type", model_field = "tokenizer.tokenizer_model",
                      &folder = run_.config.model.hf_path;
    const auto derive = [&](const std::string& field, const char* reason) { run_.origins[field] = {Origin::Kind::derived, reason}; };
    const auto kind_of = [&](const std::string& field) { return origin_of(run_.origins, field).kind; };
    if (is_given(model_field)) {
      // A type in a file is not about the tokenizer that the command line names.
      const bool is_about_it = kind_of(type_field) == Origin::Kind::command_line || kind_of(model_field) != Origin::Kind::command_line;
      const bool says_type = is_given(type_field) && is_about_it;
      if (says_type || t.tokenizer_model.empty()) return;
      try {
        const std::optional<TokenizerType> type = tokenizer_type_in(t.tokenizer_model);
        if (!type && t.merge_file.empty()) static_cast<void>(read_tokenizer_files(t.tokenizer_model));  // says what is missing
        t.tokenizer_type = type.value_or(TokenizerType::none);
        derive(type_field, "the file's");
      } catch (const InputError& e) {
        problems_.push_back({"tokenizer.tokenizer_model", e.what()});
      }
      return;
    }
    if (kind_of(model_field) == Origin::Kind::checkpoint && is_given(type_field) && !t.has_files()) t.tokenizer_model.clear();
    if (is_given(type_field) || kind_of(type_field) == Origin::Kind::checkpoint || folder.empty()) return;
    const std::optional<TokenizerType> type = tokenizer_type_in(folder);
    t = type ? TokenizerConfig{*type, folder} : TokenizerConfig{TokenizerType::none, ""};
    for (const std::string& field : {type_field, model_field})
      derive(field, type ? "model.hf_path has a tokenizer" : "model.hf_path has no tokenizer");
  }

  /// A tokenizer with a vocabulary of its own, and nobody says how large the model's is: that one.
  void derive_vocab() {
    const TokenizerConfig& t = run_.config.tokenizer;
    if (!t.has_files() || origin_of(run_.origins, "model.vocab_size").kind != Origin::Kind::default_value) return;
    try {
      run_.config.model.vocab_size = make_tokenizer(t)->vocab_size();
      run_.origins["model.vocab_size"] = {Origin::Kind::derived, "the tokenizer's vocabulary"};
    } catch (const InputError& e) {
      problems_.push_back({"tokenizer", e.what()});
    }
  }

  void apply_recipe() {
    const Recipe recipe = choose_recipe(input_, RecipeLibrary::load(input_.recipe_files), problems_);
    check_bases(input_, recipe, problems_);
    MixedPrecisionConfig& p = run_.config.mixed_precision;
    p = recipe.config;
    for (const auto& [field, origin] : recipe.origins) run_.origins["mixed_precision." + field] = origin;
    run_.origins["mixed_precision.name"] = input_.recipe || input_.inline_recipe ? input_.recipe_origin
                                           : input_.bases.empty()                ? Origin{Origin::Kind::default_value, ""}
                                                                                 : input_.bases.front().origin;
    if (!recipe.model.empty())
      run_.notes.push_back(fmt::format("recipe {} is made for {} ({}, {})", recipe.name, recipe.model, recipe.vendor, recipe.architecture));
    apply_overrides();
    finalize(p);
  }

  void apply_overrides() {
    apply_assignments(run_.config, precision_, run_.origins, problems_);
    std::set<std::string> given;
    for (const Assignment& a : precision_) given.insert(underscored(a.field));
    const std::string wrong = join_param_gather(run_.config.mixed_precision, given);
    if (!wrong.empty()) problems_.push_back({"mixed_precision", wrong});
    for (const char* format : {"fp8", "fp4"}) {
      const std::string param = std::string(format) + "_param", gather = param + "_gather";
      if (given.count(param) != given.count(gather)) {
        Origin& known = run_.origins["mixed_precision." + (given.count(param) != 0 ? param : gather)];
        run_.origins["mixed_precision." + (given.count(param) != 0 ? gather : param)] = known;
      }
    }
  }

  /// Several ranks: a command without batch sizes runs on any number of them. What was given stays as it was given.
  void derive_batch() {
    TrainConfig& t = run_.config.train;
    const auto is_default = [&](const char* path) { return !was_given(origin_of(run_.origins, path)); };
    const int64_t step = t.micro_batch_size * ranks_;
    if (ranks_ == 1 || t.global_batch_size % step == 0) return;
    if (is_default("train.global_batch_size")) {
      const int64_t from = t.global_batch_size;
      t.global_batch_size = (from / step + 1) * step;
      run_.origins["train.global_batch_size"] = {Origin::Kind::derived, fmt::format("{} ranks", ranks_)};
      run_.notes.push_back(
          fmt::format("train.global_batch_size is {}, its default of {} rounded up to a multiple of micro_batch_size {} x {} ranks",
                      t.global_batch_size, from, t.micro_batch_size, ranks_));
    } else if (is_default("train.micro_batch_size") && t.global_batch_size % ranks_ == 0) {
      const int64_t from = t.micro_batch_size, share = t.global_batch_size / ranks_;
      while (share % t.micro_batch_size != 0) --t.micro_batch_size;
      run_.origins["train.micro_batch_size"] = {Origin::Kind::derived,
                                                fmt::format("global_batch_size {} on {} ranks", t.global_batch_size, ranks_)};
      run_.notes.push_back(
          fmt::format("train.micro_batch_size is {}, not its default of {}: each of {} ranks has {} samples of global_batch_size {}",
                      t.micro_batch_size, from, ranks_, share, t.global_batch_size));
    }
  }

  /// Overflows are the dynamic loss scale's daily work: a check that aborts on them would end every fp16 run at its first step.
  void derive() {
    const OptimizerConfig& o = run_.config.optimizer;
    const bool is_dynamic = o.fp16 && o.loss_scale.value_or(0) == 0;
    if (!is_dynamic || !run_.config.ddp.check_for_nan_in_grad) return;
    run_.config.ddp.check_for_nan_in_grad = false;
    run_.origins["ddp.check_for_nan_in_grad"] = {Origin::Kind::derived, "dynamic loss scaling"};
    run_.notes.push_back("ddp.check_for_nan_in_grad is switched off: with a dynamic loss scale an overflow is skipped, not fatal");
  }

  const ConfigInput& input_;
  int ranks_;
  std::vector<Problem> problems_;
  std::vector<Assignment> precision_, others_;
  ResolvedRun run_;
  bool has_import_ = false;  ///< of model.hf_path
};

}  // namespace

ResolvedRun resolve_run(const ConfigInput& input, int ranks) { return Resolver(input, ranks).run(); }

}  // namespace mbt

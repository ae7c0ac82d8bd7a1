#include "core/hf/hf_config.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/hf/family.h"
#include "core/hf/hf_json.h"
#include "core/hf/hf_rope.h"

namespace mbt {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const HfFamily& family_of(const HfConfig& config) {
  const HfFamily* const family = find_hf_family(config.string("/model_type"));
  if (!family) config.refuse("/model_type", fmt::format("known are {}", hf_family_names(" and ")));
  return *family;
}

/// Translates one config.json, as its family's row says.
class Translator {
 public:
  explicit Translator(const JsonDocument& document) : hf_(document), family_(family_of(hf_)) {}

  std::vector<Assignment> run() {
    refuse_unsupported(hf_);
    shape();
    if (family_.has_position_table()) max_positions();  // with the shapes: it is one
    set("normalization", name_of(family_.norm), kFamily);
    const std::string epsilon = pointer(HfProperty::epsilon);
    set("layernorm_epsilon", hf_.number_or(epsilon, family_.default_epsilon), epsilon);
    activation(pointer(HfProperty::activation));
    set("position_embedding_type", name_of(family_.positions), kFamily);
    if (!family_.has_position_table()) max_positions();
    const std::optional<int64_t> window = sliding_window();
    set("sliding_window", window ? json(*window) : json(), window ? pointer(HfProperty::window) : kFamily);
    rope();
    biases();
    set("qk_layernorm", family_.has_qk_norm, kFamily);
    const std::string tied = pointer(HfProperty::tied_head);
    set("share_embeddings_and_output_weights", hf_.boolean_or(tied, family_.default_tied_head), tied);
    softmax_scale();
    return std::move(assignments_);
  }

 private:
  static constexpr const char* kFamily = "/model_type";  // what follows from the family

  /// The key that says it. transformers takes the general name as well, and then in place of the family's own.
  std::string pointer(HfProperty property) const {
    const HfKey* const key = family_.key(property);
    MBT_CHECK(key, "{} has no key for property {}", family_.model_type, static_cast<int>(property));
    const std::string own = "/" + key->name, general = "/" + key->general;
    if (key->general.empty() || !hf_.has(general)) return own;
    if (hf_.has(own) && hf_.at(own) != hf_.at(general))
      hf_.refuse(general, fmt::format("contradicts {}, which is the same setting", key->name));
    return general;
  }

  void set(const char* field, json value, const std::string& pointer) {
    assignments_.push_back(hf_.assignment(field, std::move(value), pointer));
  }
  void set_integer(const char* field, const std::string& pointer) { set(field, hf_.integer(pointer), pointer); }

  void shape() {
    const std::string width = pointer(HfProperty::width), heads = pointer(HfProperty::heads);
    set_integer("num_layers", pointer(HfProperty::layers));
    set_integer("hidden_size", width);
    set_integer("num_attention_heads", heads);
    groups(heads);
    head_width(width, heads);
    mlp_width(width, pointer(HfProperty::mlp_width));
    set_integer("vocab_size", pointer(HfProperty::vocabulary));
  }

  void groups(const std::string& heads) {
    if (!family_.has_key(HfProperty::groups)) return set_integer("num_query_groups", heads);
    const std::string key = pointer(HfProperty::groups);
    const bool as_many = !hf_.has(key) && (family_.default_groups_are_heads || hf_.is_null(key));
    const std::string& from = as_many ? heads : key;
    set_integer("num_query_groups", from);
    if (hf_.integer(from) < 1 || hf_.integer(heads) % hf_.integer(from) != 0)
      hf_.refuse(from, fmt::format("expected a divisor of {}, which is {}", heads.substr(1), hf_.integer(heads)));
  }

  void head_width(const std::string& width, const std::string& heads) {
    if (family_.has_key(HfProperty::head_width)) {
      const std::string key = pointer(HfProperty::head_width);
      if (hf_.has(key)) return set_integer("kv_channels", key);
      if (family_.default_head_width) return set("kv_channels", *family_.default_head_width, key);
    }
    if (hf_.integer(heads) <= 0) hf_.refuse(heads, "expected an integer from 1 on");
    if (hf_.integer(width) % hf_.integer(heads) != 0)
      hf_.refuse(width, fmt::format("expected a multiple of {}, which is {}", heads.substr(1), hf_.integer(heads)));
    set("kv_channels", hf_.integer(width) / hf_.integer(heads), width);
  }

  void mlp_width(const std::string& width, const std::string& key) {
    if (hf_.has(key) || !family_.default_mlp_ratio) return set_integer("ffn_hidden_size", key);
    int64_t product = 0;
    if (__builtin_mul_overflow(hf_.integer(width), *family_.default_mlp_ratio, &product)) hf_.refuse(width, "too large");
    set("ffn_hidden_size", product, width);
  }

  void max_positions() {
    const std::string key = pointer(HfProperty::positions);
    const std::optional<int64_t>& absent = family_.default_positions;
    set("max_position_embeddings", absent ? hf_.integer_or(key, *absent) : hf_.integer(key), key);
  }

  void activation(const std::string& key) {
    if (hf_.is_null(key)) throw InputError(fmt::format("{} is null, expected the name of an activation", hf_.where(key)));
    const std::string name = hf_.string_or(key, family_.default_activation);
    std::set<std::string> known;
    for (const HfActivationName& a : family_.activations) {
      if (a.name == name) return set("activation_func", name_of(a.ours), key);
      known.insert(a.name);
    }
    hf_.refuse(key, fmt::format("this activation is not implemented for {}; known are {}", family_.model_type,
                                join(std::vector<std::string>(known.begin(), known.end()), ", ")));
  }

  bool has_sliding_layers() const {
    if (!hf_.has("/layer_types")) return false;
    const json& layers = hf_.at("/layer_types");
    const std::string count = pointer(HfProperty::layers);
    if (!layers.is_array() || static_cast<int64_t>(layers.size()) != hf_.integer(count)) {
      hf_.refuse("/layer_types", fmt::format("expected a list with one entry a layer ({})", count.substr(1)));
    }
    bool slides = false;
    for (const json& layer : layers) {
      if (layer != "full_attention" && layer != "sliding_attention") {
        hf_.refuse("/layer_types", "only full_attention and sliding_attention are known");
      }
      slides |= layer == "sliding_attention";
    }
    return slides;
  }

  /// Whether some layer slides that layer_types does not list.
  bool is_window_on(bool in_layers) const {
    if (family_.window.rule != HfWindow::Rule::switched) return family_.window.rule == HfWindow::Rule::always;
    const std::string key = pointer(HfProperty::window_switch);
    const bool is_on = hf_.boolean_or(key, false);
    if (in_layers && !is_on) hf_.refuse("/layer_types", fmt::format("sliding_attention, but {} is not true", key.substr(1)));
    const int64_t full_layers = hf_.integer_or(pointer(HfProperty::full_layers), family_.window.default_full_layers);
    return !hf_.has("/layer_types") && is_on && full_layers < hf_.integer(pointer(HfProperty::layers));
  }

  /// Tokens that attention sees; nullopt: all. Absent keys mean what transformers makes of them: for a window its default, not none.
  std::optional<int64_t> sliding_window() const {
    if (family_.window.rule == HfWindow::Rule::never) return std::nullopt;
    const bool in_layers = has_sliding_layers(), is_on = is_window_on(in_layers);
    if (!in_layers && !is_on) return std::nullopt;
    const std::string key = pointer(HfProperty::window);
    if (hf_.has(key)) {
      if (hf_.integer(key) < 1) hf_.refuse(key, "expected an integer from 1 on");
      return hf_.integer(key);
    }
    if (in_layers) hf_.refuse("/layer_types", fmt::format("sliding_attention without {}", key.substr(1)));
    return hf_.is_null(key) ? std::nullopt : std::optional(family_.window.default_tokens);
  }

  void rope() {
    if (!family_.has_rope()) return set("rope_scaling", false, kFamily);
    std::vector<Assignment> found = rope_assignments(hf_);
    std::move(found.begin(), found.end(), std::back_inserter(assignments_));
  }

  void biases() {
    for (const std::string& key : family_.switches_without_effect) static_cast<void>(hf_.boolean_or("/" + key, false));
    const auto is_on = [&](HfProperty property) { return family_.has_key(property) && hf_.boolean_or(pointer(property), false); };
    const bool attention = is_on(HfProperty::attention_bias), mlp = is_on(HfProperty::mlp_bias);
    set("add_bias_linear", family_.biases == HfBiases::all, kFamily);
    set("add_qkv_bias", family_.biases != HfBiases::none, kFamily);
    set("add_attention_bias", attention, attention ? pointer(HfProperty::attention_bias) : kFamily);
    set("add_mlp_bias", mlp, mlp ? pointer(HfProperty::mlp_bias) : kFamily);
  }

  void softmax_scale() {
    if (!family_.has_key(HfProperty::scale_scores)) return set("softmax_scale", json(), kFamily);
    const std::string key = pointer(HfProperty::scale_scores);
    set("softmax_scale", hf_.boolean_or(key, true) ? json() : json(1.0), key);
  }

  HfConfig hf_;
  const HfFamily& family_;
  std::vector<Assignment> assignments_;
};

/// A name of the hub is "owner/model", or "model" for the oldest.
bool may_be_hub_name(const std::string& name) {
  const auto is_plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '/'; };
  return !name.empty() && std::isalnum(static_cast<unsigned char>(name.front())) != 0 &&
         std::isalnum(static_cast<unsigned char>(name.back())) != 0 && std::all_of(name.begin(), name.end(), is_plain) &&
         std::count(name.begin(), name.end(), '/') <= 1;
}

std::string no_such_folder(const std::string& folder) {
  const std::string problem = folder + ": there is no such folder";
  if (!may_be_hub_name(folder)) return problem;
  const std::string model = fs::path(folder).filename().string();
  return fmt::format(
      "{}. If that is a model's name on the Hugging Face Hub, download it first: hf download {} --local-dir {} (huggingface-cli download "
      "with older versions), and name the folder {}",
      problem, folder, model, model);
}

}  // namespace

JsonDocument read_hf_config(const std::string& folder) {
  const fs::path path(folder);
  std::error_code unknown;
  if (!fs::exists(path, unknown)) throw InputError(no_such_folder(folder));
  if (!fs::is_directory(path, unknown))
    throw InputError(fmt::format("{}: is a file; expected the folder with config.json and the weights", folder));
  const bool is_run = fs::exists(path / "latest_checkpointed_iteration.txt", unknown) || fs::exists(path / "run_config.json", unknown);
  if (is_run && !fs::exists(path / "config.json", unknown)) {
    throw InputError(
        fmt::format("{}: is the folder of a run or a checkpoint, not a Hugging Face folder with a config.json. A run is loaded with "
                    "--checkpoint.load; mbtrain convert to-hf makes a Hugging Face folder of it",
                    folder));
  }
  return read_json_file((path / "config.json").string(), {.is_of_others = true});
}

std::vector<Assignment> hf_assignments(const JsonDocument& config) { return Translator(config).run(); }
std::vector<Assignment> hf_assignments(const std::string& folder) { return hf_assignments(read_hf_config(folder)); }

std::string hf_model_type(const JsonDocument& config) { return family_of(HfConfig(config)).model_type; }
std::string hf_model_type(const std::string& folder) { return hf_model_type(read_hf_config(folder)); }

void apply_hf_config(const std::string& folder, RunConfig& config, Origins& origins) {
  std::vector<Problem> problems;
  apply_assignments(config, hf_assignments(folder), origins, problems);
  if (!problems.empty()) throw_problems(problems);
}

ModelConfig hf_model(const JsonDocument& config) {
  RunConfig run;
  Origins origins;
  std::vector<Problem> problems;
  apply_assignments(run, hf_assignments(config), origins, problems);
  if (!problems.empty()) throw_problems(problems);
  return run.model;
}

}  // namespace mbt

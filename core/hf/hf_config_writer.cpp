#include "core/hf/hf_config_writer.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_mend.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/config/architecture.h"
#include "core/hf/choose_family.h"
#include "core/hf/family.h"
#include "core/hf/hf_config.h"

namespace mbt {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ordered_json activation_json(const HfFamily& f, const ModelConfig& m) {
  const std::string* const name = f.activation_name(m.activation_func);
  if (!name) throw InputError(fmt::format("activation_func {} is none of {}'s", name_of(m.activation_func), f.model_type));
  return *name;
}

ordered_json rope_scaling_json(const ModelConfig& m) {
  if (!m.rope_scaling) return ordered_json();
  return {{"rope_type", "llama3"},
          {"factor", m.rope_scaling_factor},
          {"low_freq_factor", m.rope_low_freq_factor},
          {"high_freq_factor", m.rope_high_freq_factor},
          {"original_max_position_embeddings", m.rope_original_max_position_embeddings}};
}

/// The value of the key that says `property`; null for what an absent key means.
ordered_json value_of(HfProperty property, const HfFamily& f, const ModelConfig& m) {
  switch (property) {
    case HfProperty::layers: return m.num_layers;
    case HfProperty::width: return m.hidden_size;
    case HfProperty::heads: return m.num_attention_heads;
    case HfProperty::groups: return m.kv_heads();
    case HfProperty::head_width: return m.head_dim();
    case HfProperty::mlp_width:
      return f.default_mlp_ratio && m.ffn() == *f.default_mlp_ratio * m.hidden_size ? ordered_json() : ordered_json(m.ffn());
    case HfProperty::vocabulary: return m.vocab_size;
    case HfProperty::positions: return m.max_positions();
    case HfProperty::epsilon: return m.layernorm_epsilon;
    case HfProperty::activation: return activation_json(f, m);
    case HfProperty::scale_scores: return m.softmax_scale.value_or(0.0) != 1.0;
    case HfProperty::rope_base: return m.rotary_base;
    case HfProperty::rope_scaling: return rope_scaling_json(m);
    case HfProperty::tied_head: return m.share_embeddings_and_output_weights;
    case HfProperty::attention_bias: return m.has_proj_bias();
    case HfProperty::mlp_bias: return m.has_mlp_bias();
    case HfProperty::window_switch: return m.sliding_window.has_value();
    case HfProperty::full_layers: return 0;
    case HfProperty::window: return m.sliding_window ? ordered_json(*m.sliding_window) : ordered_json();
  }
  throw Error("no such property of a model");
}

bool is_of_window(HfProperty property) {
  return property == HfProperty::window || property == HfProperty::window_switch || property == HfProperty::full_layers;
}

/// A model without a window needs no key for one, unless the family's default is a window or there is a switch to turn off.
bool is_written(HfProperty property, const HfFamily& f, const ModelConfig& m) {
  if (m.sliding_window || !is_of_window(property)) return true;
  return property == HfProperty::window ? f.window.rule == HfWindow::Rule::always : property == HfProperty::window_switch;
}

ordered_json architecture_json(const HfFamily& f, const ModelConfig& m) {
  ordered_json j;
  for (const HfKey& key : f.keys)
    if (is_written(key.property, f, m)) j[key.name] = value_of(key.property, f, m);
  return j;
}

ordered_json id_json(const std::optional<int64_t>& id) { return id ? ordered_json(*id) : ordered_json(); }

/// What transformers wants to know beside the architecture. Token ids that nobody has named are none: the classes' defaults lie outside
/// small vocabularies.
ordered_json new_config(const HfFamily& f, const ModelConfig& m, const std::string& dtype, const HfTokenIds& tokens) {
  ordered_json j{{"architectures", {f.architecture}}, {"model_type", f.model_type}};
  j.update(architecture_json(f, m));
  for (const std::string& key : f.dropouts) j[key] = 0.0;
  j.update(ordered_json{{"initializer_range", m.init_std()},
                        {"bos_token_id", id_json(tokens.bos)},
                        {"eos_token_id", id_json(tokens.eos)},
                        {"use_cache", true},
                        {"torch_dtype", dtype}});
  return j;
}

/// The keys of the architecture replaced, RoPE in the form that the source has; its window stays.
void replace_architecture(ordered_json& j, const HfFamily& f, const ModelConfig& m) {
  ordered_json fresh = architecture_json(f, m);
  if (f.has_rope() && j.contains("rope_parameters") && !j["rope_parameters"].is_null()) {
    ordered_json rope = m.rope_scaling ? fresh["rope_scaling"] : ordered_json{{"rope_type", "default"}};
    rope["rope_theta"] = fresh["rope_theta"];
    j["rope_parameters"] = std::move(rope);
    for (const char* key : {"rope_scaling", "rope_theta"}) {
      fresh.erase(key);
      j.erase(key);
    }
  }
  if (m.rope_scaling) j.erase("original_max_position_embeddings");  // also stands in the scaling
  for (const HfKey& key : f.keys)
    if (is_of_window(key.property)) fresh.erase(key.name);
  for (const auto& [key, value] : fresh.items()) j[key] = value;
}

void set_dtype(ordered_json& j, const std::string& dtype) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (j.contains(key)) j[key] = dtype;
  if (!j.contains("dtype") && !j.contains("torch_dtype")) j["torch_dtype"] = dtype;
}

bool says_dtype(const json& root, const std::string& dtype) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (root.contains(key) && root[key] != dtype) return false;
  return true;
}

std::vector<std::string> differences_in_words(const ModelConfig& a, const ModelConfig& b) {
  std::vector<std::string> words;
  for (const ArchitectureDifference& d : architecture_differences(a, b)) words.push_back(d.str());
  return words;
}

void add_once(int64_t id, std::vector<int64_t>& ids) {
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

std::vector<int64_t> ends_of(const HfTokenIds& tokens) {
  std::vector<int64_t> ends;
  for (const std::optional<int64_t>& id : {tokens.eos, tokens.eod, tokens.end_of_turn})
    if (id) add_once(*id, ends);
  return ends;
}

ordered_json ends_json(const std::vector<int64_t>& ends) { return ends.size() == 1 ? ordered_json(ends[0]) : ordered_json(ends); }

/// Writing goes down by recursion.
void refuse_deep(const JsonDocument& document) {
  for (const JsonFlaw& flaw : document.flaws)
    if (flaw.is_left_out) document.refuse_flaws(flaw.pointer);
}

}  // namespace

std::string hf_family_of(const ModelConfig& model) { return choose_family(model).model_type; }

std::string new_hf_config_text(const ModelConfig& model, const std::string& dtype, const HfTokenIds& tokens) {
  std::string fresh = json_text(new_config(choose_family(model), model, dtype, tokens), {.indent = 2}) + "\n";
  const std::vector<std::string> differences = differences_in_words(model, hf_model(parse_json(fresh, "the new config.json")));
  MBT_CHECK(differences.empty(), "config.json: {}", join(differences, ", "));
  return fresh;
}

std::string generation_config_text(const HfTokenIds& tokens) {
  ordered_json j = ordered_json::object();
  if (tokens.bos) j["bos_token_id"] = *tokens.bos;
  if (const std::vector<int64_t> ends = ends_of(tokens); !ends.empty()) j["eos_token_id"] = ends_json(ends);
  return json_text(j, {.indent = 2}) + "\n";
}

std::string generation_config_text(const HfTokenIds& tokens, const std::string& generation, const std::string& config) {
  constexpr const char* kName = "generation_config.json";
  if (ends_of(tokens).empty()) return generation;
  std::vector<int32_t> said = generation.empty() ? std::vector<int32_t>() : hf_eos_tokens(generation, kName);
  if (said.empty()) said = hf_eos_tokens(config, "config.json");
  std::vector<int64_t> ends{said.begin(), said.end()};
  for (const int64_t id : ends_of(tokens)) add_once(id, ends);
  if (ends.size() == said.size()) return generation;
  if (!generation.empty()) refuse_deep(parse_json(generation, kName, {.is_of_others = true}));
  ordered_json j = parse_ordered_json(with_marks(generation.empty() ? "{}" : generation));
  j["eos_token_id"] = ends_json(ends);
  return without_marks(json_text(j, {.indent = 2})) + "\n";
}

std::vector<int32_t> hf_eos_tokens(const std::string& config, const std::string& source) {
  const JsonDocument document = parse_json(config, source, {.is_of_others = true});
  document.refuse_flaws("/eos_token_id");
  std::vector<int32_t> ends;
  if (!document.root.is_object() || !document.root.contains("eos_token_id")) return ends;
  const json& ids = document.root.at("eos_token_id");
  for (const json& id : ids.is_array() ? ids : json::array({ids}))
    if (id.is_number_integer()) ends.push_back(id.get<int32_t>());
  return ends;
}

std::string hf_config_text(const ModelConfig& model, const JsonDocument& source, const std::string& source_text, const std::string& dtype) {
  const ModelConfig before = hf_model(source);
  ModelConfig now = model;
  now.sliding_window = before.sliding_window;  // a run may not have been told of it; it has not gone beyond
  const bool is_same = differences_in_words(now, before).empty();
  if (is_same && (dtype.empty() || says_dtype(source.root, dtype))) return source_text;
  refuse_deep(source);
  ordered_json j = parse_ordered_json(with_marks(source_text));
  if (!dtype.empty()) set_dtype(j, dtype);
  if (!is_same) replace_architecture(j, *find_hf_family(hf_model_type(source)), now);
  std::string changed = without_marks(json_text(j, {.indent = 2})) + "\n";
  const std::vector<std::string> differences =
      differences_in_words(now, hf_model(parse_json(changed, source.source, {.is_of_others = true})));
  if (!differences.empty()) {
    throw InputError(
        fmt::format("the model is no longer one that {} can describe (model, config.json): {}", source.source, join(differences, ", ")));
  }
  return changed;
}

}  // namespace mbt

#include "core/hf/hf_config_writer.h"

#include <array>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/architecture.h"
#include "core/hf/hf_config.h"

namespace mbt {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// Our activation, and what the families call it.
using Names = std::vector<std::pair<const char*, const char*>>;
const Names kPlainActivations{{"gelu", "gelu_new"}, {"gelu_erf", "gelu"}, {"silu", "silu"}, {"relu", "relu"}, {"squared_relu", "relu2"}};
const Names kGatedActivations{{"swiglu", "silu"}, {"geglu", "gelu_pytorch_tanh"}};

const char* hf_activation(const Names& names, const std::string& ours) {
  for (const auto& [our, hf] : names)
    if (ours == our) return hf;
  return nullptr;
}

std::string known_activation(const Names& names, const std::string& ours, const char* family) {
  const char* const name = hf_activation(names, ours);
  if (!name) throw InputError(text("activation_func ", ours, " is none of ", family, "'s"));
  return name;
}

/// What stands in the way of one family.
class Obstacles {
 public:
  void refuse_unless(bool holds, const std::string& what) {
    if (!holds) list_.push_back(what);
  }
  const std::vector<std::string>& list() const { return list_; }

 private:
  std::vector<std::string> list_;
};

std::vector<std::string> obstacles_to_gpt2(const ModelConfig& m) {
  Obstacles o;
  o.refuse_unless(m.normalization == Normalization::layer_norm, text("normalization ", name_of(m.normalization), ", gpt2 has LayerNorm"));
  o.refuse_unless(m.position_embedding_type == PositionEmbedding::learned_absolute,
                  text("position_embedding_type ", name_of(m.position_embedding_type), ", gpt2 has learned_absolute"));
  o.refuse_unless(hf_activation(kPlainActivations, name_of(m.activation_func)) != nullptr,
                  text("activation_func ", name_of(m.activation_func), " is gated, gpt2's are not"));
  o.refuse_unless(m.add_bias_linear || (m.has_proj_bias() && m.has_mlp_bias()),
                  "add_bias_linear false, gpt2 has biases on all linear layers");
  o.refuse_unless(m.kv_heads() == m.num_attention_heads, text("num_query_groups ", m.kv_heads(), ", gpt2 has as many as query heads"));
  o.refuse_unless(m.head_dim() * m.num_attention_heads == m.hidden_size,
                  text("kv_channels ", m.head_dim(), ", gpt2's heads are hidden_size / num_attention_heads wide"));
  o.refuse_unless(!m.qk_layernorm, "qk_layernorm, which gpt2 has not");
  o.refuse_unless(!m.sliding_window, "sliding_window, which gpt2 has not");
  const double plain = 1.0 / std::sqrt(static_cast<double>(m.head_dim()));
  o.refuse_unless(m.attention_scale() == plain || m.attention_scale() == 1.0,
                  text("softmax_scale ", to_text(m.attention_scale()), ", gpt2 has 1/sqrt(head width) or 1"));
  return o.list();
}

std::string llama_like_family(const ModelConfig& m) {
  if (m.qk_layernorm) return "qwen3";
  if (m.has_qkv_bias() && !m.has_proj_bias()) return "qwen2";
  return m.sliding_window ? "mistral" : "llama";
}

std::vector<std::string> obstacles_to_llama_like(const ModelConfig& m) {
  Obstacles o;
  o.refuse_unless(m.normalization == Normalization::rms_norm,
                  text("normalization ", name_of(m.normalization), ", llama, qwen2, qwen3 and mistral have RMSNorm"));
  o.refuse_unless(m.position_embedding_type == PositionEmbedding::rope,
                  text("position_embedding_type ", name_of(m.position_embedding_type), ", they have rope"));
  o.refuse_unless(hf_activation(kGatedActivations, name_of(m.activation_func)) != nullptr,
                  text("activation_func ", name_of(m.activation_func), ", theirs are gated (swiglu, geglu)"));
  o.refuse_unless(m.rotary_percent == 1.0, text("rotary_percent ", to_text(m.rotary_percent), ", they rotate whole heads"));
  o.refuse_unless(m.attention_scale() == 1.0 / std::sqrt(static_cast<double>(m.head_dim())),
                  text("softmax_scale ", to_text(m.attention_scale()), ", they have 1/sqrt(head width)"));
  const bool only_qkv = m.has_qkv_bias() && !m.has_proj_bias();
  o.refuse_unless(!only_qkv || (!m.has_mlp_bias() && !m.qk_layernorm),
                  "biases on QKV alone beside qk_layernorm or biases in the MLP, which none of them has");
  o.refuse_unless(m.hidden_size % m.num_attention_heads == 0 || llama_like_family(m) != "llama",
                  text("hidden_size ", m.hidden_size, ", which transformers wants to be a multiple of num_attention_heads ",
                       m.num_attention_heads, " for llama"));
  o.refuse_unless(llama_like_family(m) != "mistral" || (!m.has_proj_bias() && !m.has_mlp_bias()),
                  "sliding_window beside biases, which none of them has");
  o.refuse_unless(!m.qk_layernorm || !m.has_mlp_bias(), "qk_layernorm and biases in the MLP, which none of them has together");
  return o.list();
}

ordered_json gpt2_json(const ModelConfig& m) {
  ordered_json j;
  j["n_layer"] = m.num_layers;
  j["n_embd"] = m.hidden_size;
  j["n_head"] = m.num_attention_heads;
  j["n_inner"] = m.ffn() == 4 * m.hidden_size ? ordered_json() : ordered_json(m.ffn());
  j["n_positions"] = m.max_positions();
  j["vocab_size"] = m.vocab_size;
  j["layer_norm_epsilon"] = m.layernorm_epsilon;
  j["activation_function"] = known_activation(kPlainActivations, name_of(m.activation_func), "gpt2");
  j["scale_attn_weights"] = m.softmax_scale.value_or(0.0) != 1.0;
  j["tie_word_embeddings"] = m.share_embeddings_and_output_weights;
  return j;
}

ordered_json rope_scaling_json(const ModelConfig& m) {
  if (!m.rope_scaling) return ordered_json();
  return {{"rope_type", "llama3"},
          {"factor", m.rope_scaling_factor},
          {"low_freq_factor", m.rope_low_freq_factor},
          {"high_freq_factor", m.rope_high_freq_factor},
          {"original_max_position_embeddings", m.rope_original_max_position_embeddings}};
}

ordered_json llama_like_json(const ModelConfig& m, const std::string& family) {
  ordered_json j;
  j["num_hidden_layers"] = m.num_layers;
  j["hidden_size"] = m.hidden_size;
  j["num_attention_heads"] = m.num_attention_heads;
  j["num_key_value_heads"] = m.kv_heads();
  j["head_dim"] = m.head_dim();
  j["intermediate_size"] = m.ffn();
  j["vocab_size"] = m.vocab_size;
  j["max_position_embeddings"] = m.max_positions();
  j["rms_norm_eps"] = m.layernorm_epsilon;
  j["hidden_act"] = known_activation(kGatedActivations, name_of(m.activation_func), family.c_str());
  j["rope_theta"] = m.rotary_base;
  j["rope_scaling"] = rope_scaling_json(m);
  j["tie_word_embeddings"] = m.share_embeddings_and_output_weights;
  if (family == "llama" || family == "qwen3") j["attention_bias"] = m.has_proj_bias();
  if (family == "llama") j["mlp_bias"] = m.has_mlp_bias();
  if (family == "qwen2" || family == "qwen3") j["use_sliding_window"] = m.sliding_window.has_value();
  if (m.sliding_window && j.contains("use_sliding_window")) j["max_window_layers"] = 0;
  if (m.sliding_window || family == "mistral") j["sliding_window"] = m.sliding_window ? ordered_json(*m.sliding_window) : ordered_json();
  return j;
}

ordered_json architecture_json(const ModelConfig& m, const std::string& family) {
  return family == "gpt2" ? gpt2_json(m) : llama_like_json(m, family);
}

ordered_json id_json(const std::optional<int64_t>& id) { return id ? ordered_json(*id) : ordered_json(); }

/// What transformers wants to know beside the architecture. Token ids that nobody has named are none: the classes' defaults lie outside
/// small vocabularies.
ordered_json new_config(const ModelConfig& m, const std::string& family, const std::string& dtype, const HfTokenIds& tokens) {
  static const std::map<std::string, std::string> kNames{
      {"gpt2", "GPT2"}, {"llama", "Llama"}, {"mistral", "Mistral"}, {"qwen2", "Qwen2"}, {"qwen3", "Qwen3"}};
  const std::string& name = kNames.at(family);
  ordered_json j{{"architectures", {name + (family == "gpt2" ? "LMHeadModel" : "ForCausalLM")}}, {"model_type", family}};
  j.update(architecture_json(m, family));
  if (family == "gpt2") j.update(ordered_json{{"resid_pdrop", 0.0}, {"embd_pdrop", 0.0}, {"attn_pdrop", 0.0}});
  else j["attention_dropout"] = 0.0;
  j.update(ordered_json{{"initializer_range", m.init_std()},
                        {"bos_token_id", id_json(tokens.bos)},
                        {"eos_token_id", id_json(tokens.eos)},
                        {"use_cache", true},
                        {"torch_dtype", dtype}});
  return j;
}

/// The keys of the architecture replaced, RoPE in the form that the source has; its window stays.
void replace_architecture(ordered_json& j, const ModelConfig& m, const std::string& family) {
  ordered_json fresh = architecture_json(m, family);
  if (family != "gpt2" && j.contains("rope_parameters") && !j["rope_parameters"].is_null()) {
    ordered_json rope = m.rope_scaling ? fresh["rope_scaling"] : ordered_json{{"rope_type", "default"}};
    rope["rope_theta"] = fresh["rope_theta"];
    j["rope_parameters"] = std::move(rope);
    for (const char* key : {"rope_scaling", "rope_theta"}) {
      fresh.erase(key);
      j.erase(key);
    }
  }
  if (m.rope_scaling) j.erase("original_max_position_embeddings");  // also stands in the scaling
  for (const char* key : {"sliding_window", "use_sliding_window", "max_window_layers"}) fresh.erase(key);
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

}  // namespace

std::string hf_family_of(const ModelConfig& m) {
  const std::vector<std::string> gpt2 = obstacles_to_gpt2(m), llama = obstacles_to_llama_like(m);
  if (gpt2.empty()) return "gpt2";
  if (llama.empty()) return llama_like_family(m);
  const bool is_nearer_to_gpt2 = gpt2.size() < llama.size();
  throw InputError(text("no Hugging Face family that is known here (gpt2, llama, qwen2, qwen3, mistral) can describe this model: it has ",
                        join(is_nearer_to_gpt2 ? gpt2 : llama, "; ")));
}

std::string new_hf_config_text(const ModelConfig& model, const std::string& dtype, const HfTokenIds& tokens) {
  std::string fresh = new_config(model, hf_family_of(model), dtype, tokens).dump(2) + "\n";
  const std::vector<std::string> differences = differences_in_words(model, hf_model(parse_json(fresh, "the new config.json")));
  MBT_CHECK(differences.empty(), "config.json: ", join(differences, ", "));
  return fresh;
}

std::string generation_config_text(const HfTokenIds& tokens) {
  ordered_json j = ordered_json::object();
  if (tokens.bos) j["bos_token_id"] = *tokens.bos;
  if (tokens.eos) j["eos_token_id"] = *tokens.eos;
  if (tokens.eod && tokens.eod != tokens.eos)
    j["eos_token_id"] = tokens.eos ? ordered_json{*tokens.eos, *tokens.eod} : ordered_json(*tokens.eod);
  return j.dump(2) + "\n";
}

std::string hf_config_text(const ModelConfig& model, const JsonDocument& source, const std::string& source_text, const std::string& dtype) {
  const ModelConfig before = hf_model(source);
  ModelConfig now = model;
  now.sliding_window = before.sliding_window;  // a run may not have been told of it; it has not gone beyond
  const bool is_same = differences_in_words(now, before).empty();
  if (is_same && (dtype.empty() || says_dtype(source.root, dtype))) return source_text;
  ordered_json j = ordered_json::parse(source_text);
  if (!dtype.empty()) set_dtype(j, dtype);
  if (!is_same) replace_architecture(j, now, hf_model_type(source));
  std::string changed = j.dump(2) + "\n";
  const std::vector<std::string> differences = differences_in_words(now, hf_model(parse_json(changed, source.source)));
  if (!differences.empty()) {
    throw InputError(
        text("the model is no longer one that ", source.source, " can describe (model, config.json): ", join(differences, ", ")));
  }
  return changed;
}

}  // namespace mbt

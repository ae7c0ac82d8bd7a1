#include "core/config/architecture.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/json_text.h"

namespace mbt {
namespace {

using nlohmann::json;

struct Fact {
  std::string name;
  json value;
  ArchitecturePart part;
};

std::vector<Fact> facts_of(const ModelConfig& m) {
  using enum ArchitecturePart;
  const bool has_table = m.position_embedding_type == PositionEmbedding::learned_absolute;
  std::vector<Fact> facts = {{"num_layers", m.num_layers, weights},
                             {"hidden_size", m.hidden_size, weights},
                             {"num_attention_heads", m.num_attention_heads, weights},
                             {"num_query_groups", m.kv_heads(), weights},
                             {"kv_channels", m.head_dim(), weights},
                             {"ffn_hidden_size", m.ffn(), weights},
                             {"vocab_size", m.vocab_size, weights},
                             {"normalization", name_of(m.normalization), weights},
                             {"layernorm_epsilon", m.layernorm_epsilon, arithmetic},
                             {"gated MLP", m.is_gated(), weights},
                             {"activation_func", name_of(m.activation_func), arithmetic},
                             {"position_embedding_type", name_of(m.position_embedding_type), weights},
                             {"max_position_embeddings", m.max_positions(), has_table ? weights : bound},
                             {"sliding_window", m.sliding_window ? json(*m.sliding_window) : json(), bound},
                             {"bias of QKV", m.has_qkv_bias(), weights},
                             {"bias of the attention's output", m.has_proj_bias(), weights},
                             {"bias of the MLP", m.has_mlp_bias(), weights},
                             {"qk_layernorm", m.qk_layernorm, weights},
                             {"share_embeddings_and_output_weights", m.share_embeddings_and_output_weights, weights},
                             {"softmax_scale", m.attention_scale(), arithmetic}};
  if (m.position_embedding_type != PositionEmbedding::rope) return facts;
  const json scaling = {m.rope_scaling_factor, m.rope_low_freq_factor, m.rope_high_freq_factor, m.rope_original_max_position_embeddings};
  facts.push_back({"rotary_base", m.rotary_base, arithmetic});
  facts.push_back({"rotary_percent", m.rotary_percent, arithmetic});
  facts.push_back({"rope_scaling", m.rope_scaling ? scaling : json(), arithmetic});
  return facts;
}

}  // namespace

bool is_of_architecture(const Field& field) {
  static const std::set<std::string> names = {"num_layers",
                                              "hidden_size",
                                              "num_attention_heads",
                                              "num_query_groups",
                                              "kv_channels",
                                              "ffn_hidden_size",
                                              "vocab_size",
                                              "make_vocab_size_divisible_by",
                                              "normalization",
                                              "layernorm_epsilon",
                                              "activation_func",
                                              "position_embedding_type",
                                              "max_position_embeddings",
                                              "sliding_window",
                                              "rotary_base",
                                              "rotary_percent",
                                              "rope_scaling",
                                              "rope_scaling_factor",
                                              "rope_low_freq_factor",
                                              "rope_high_freq_factor",
                                              "rope_original_max_position_embeddings",
                                              "add_bias_linear",
                                              "add_qkv_bias",
                                              "add_attention_bias",
                                              "add_mlp_bias",
                                              "qk_layernorm",
                                              "share_embeddings_and_output_weights",
                                              "softmax_scale"};
  return field.section == "model" && names.count(field.info.name) != 0;
}

std::string ArchitectureDifference::str() const { return fmt::format("{} ({}, {})", name, json_text(left), json_text(right)); }

std::vector<ArchitectureDifference> architecture_differences(const ModelConfig& left, const ModelConfig& right) {
  const std::vector<Fact> of_right = facts_of(right);
  std::vector<ArchitectureDifference> differences;
  for (const Fact& f : facts_of(left)) {
    const auto other = std::find_if(of_right.begin(), of_right.end(), [&](const Fact& r) { return r.name == f.name; });
    const json value = other == of_right.end() ? json() : other->value;
    if (f.value != value) differences.push_back({f.name, f.value, value, f.part});
  }
  return differences;
}

}  // namespace mbt

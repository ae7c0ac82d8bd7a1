#include "core/hf/hf_json.h"

#include <algorithm>
#include <vector>

namespace mbt {
namespace {

using nlohmann::json;

/// A key that changes the result in a way that is not implemented, unless it has a neutral value; null is always neutral.
struct Unsupported {
  const char* key;
  std::vector<json> neutral;
};

const std::vector<Unsupported>& unsupported_keys() {
  static const std::vector<Unsupported> keys{
      {"quantization_config", {}},
      {"compression_config", {}},
      {"is_encoder_decoder", {false}},
      {"is_causal", {true}},
      {"add_cross_attention", {false}},
      {"scale_attn_by_inverse_layer_idx", {false}},
      {"num_experts", {0}},
      {"num_local_experts", {0}},
      {"n_routed_experts", {0}},
      {"attn_logit_softcapping", {}},
      {"final_logit_softcapping", {}},
      {"query_pre_attn_scalar", {}},
      {"attention_multiplier", {}},
      {"embedding_multiplier", {1}},
      {"residual_multiplier", {1}},
      {"logits_scaling", {1}},
      {"logit_scale", {1}},
      {"clip_qkv", {}},
      {"partial_rotary_factor", {1}},
      {"no_rope_layers", {}},
      {"attention_chunk_size", {}},
      {"num_experts_per_layer", {0}},
      {"n_shared_experts", {0}},
      {"moe_intermediate_size", {}},
      {"kv_lora_rank", {}},
      {"q_lora_rank", {}},
      {"logit_softcapping", {}},
      {"use_qk_norm", {false}},
      {"qk_layernorm", {false}},
      {"use_parallel_residual", {false}},
      {"parallel_attn", {false}},
      {"alibi", {false}},
      {"rotary_pct", {1}},
      {"scale_emb", {1}},
      {"scale_depth", {}},
      {"dim_model_base", {}},
      {"lm_head_multiplier", {1}},
  };
  return keys;
}

}  // namespace

void refuse_unsupported(const HfConfig& config) {
  for (const Unsupported& u : unsupported_keys()) {
    const std::string pointer = fmt::format("/{}", u.key);
    if (!config.has(pointer)) continue;
    if (std::find(u.neutral.begin(), u.neutral.end(), config.at(pointer)) == u.neutral.end()) {
      config.refuse(pointer, "not implemented, and it would change the result");
    }
  }
}

}  // namespace mbt

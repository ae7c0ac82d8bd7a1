#include "core/hf/family.h"

#include <algorithm>

namespace mbt {
namespace {

using enum HfProperty;

// -- values of the model's fields, in one place -------------------------------------------------------------------------------------------
constexpr Normalization kLayerNorm = Normalization::layer_norm, kRmsNorm = Normalization::rms_norm;
constexpr PositionEmbedding kLearned = PositionEmbedding::learned_absolute, kRope = PositionEmbedding::rope;

const std::vector<HfActivationName> kPlainActivations{{"gelu_new", ActivationFunc::gelu},     {"gelu_pytorch_tanh", ActivationFunc::gelu},
                                                      {"gelu", ActivationFunc::gelu_erf},     {"silu", ActivationFunc::silu},
                                                      {"swish", ActivationFunc::silu},        {"relu", ActivationFunc::relu},
                                                      {"relu2", ActivationFunc::squared_relu}};
const std::vector<HfActivationName> kGatedActivations{{"silu", ActivationFunc::swiglu},
                                                      {"swish", ActivationFunc::swiglu},
                                                      {"gelu_pytorch_tanh", ActivationFunc::geglu},
                                                      {"gelu_new", ActivationFunc::geglu}};

// -- tensor names -------------------------------------------------------------------------------------------------------------------------
const HfTensorNames kGpt2Tensors{.prefix = "transformer.",
                                 .before = {{HfPart::word_embedding, "wte"}, {HfPart::position_embedding, "wpe"}},
                                 .layer = {{HfPart::input_norm, "ln_1"},
                                           {HfPart::qkv, "attn.c_attn"},
                                           {HfPart::proj, "attn.c_proj"},
                                           {HfPart::pre_mlp_norm, "ln_2"},
                                           {HfPart::fc1, "mlp.c_fc"},
                                           {HfPart::fc2, "mlp.c_proj"}},
                                 .after = {{HfPart::final_norm, "ln_f"}},
                                 .layers = "h.",
                                 .transposes_linear = true,
                                 .causal_mask = ".attn.bias",
                                 .buffers = {".attn.masked_bias"}};

const HfTensorNames kLlamaTensors{.prefix = "model.",
                                  .before = {{HfPart::word_embedding, "embed_tokens"}},
                                  .layer = {{HfPart::input_norm, "input_layernorm"},
                                            {HfPart::q, "self_attn.q_proj"},
                                            {HfPart::k, "self_attn.k_proj"},
                                            {HfPart::v, "self_attn.v_proj"},
                                            {HfPart::q_norm, "self_attn.q_norm"},
                                            {HfPart::k_norm, "self_attn.k_norm"},
                                            {HfPart::proj, "self_attn.o_proj"},
                                            {HfPart::pre_mlp_norm, "post_attention_layernorm"},
                                            {HfPart::gate, "mlp.gate_proj"},
                                            {HfPart::up, "mlp.up_proj"},
                                            {HfPart::fc2, "mlp.down_proj"}},
                                  .after = {{HfPart::final_norm, "norm"}},
                                  .layers = "layers.",
                                  .buffers = {"rotary_emb.inv_freq"}};

// -- keys that several families share -----------------------------------------------------------------------------------------------------
/// The keys of Llama, and what a family has beside them.
std::vector<HfKey> llama_keys(std::initializer_list<HfKey> more) {
  std::vector<HfKey> keys{{layers, "num_hidden_layers"},     {width, "hidden_size"},
                          {heads, "num_attention_heads"},    {groups, "num_key_value_heads"},
                          {head_width, "head_dim"},          {mlp_width, "intermediate_size"},
                          {vocabulary, "vocab_size"},        {positions, "max_position_embeddings"},
                          {epsilon, "rms_norm_eps"},         {activation, "hidden_act"},
                          {rope_base, "rope_theta"},         {rope_scaling, "rope_scaling"},
                          {tied_head, "tie_word_embeddings"}};
  keys.insert(keys.end(), more);
  return keys;
}

const HfKey kAttentionBias{attention_bias, "attention_bias"}, kMlpBias{mlp_bias, "mlp_bias"}, kWindow{window, "sliding_window"},
    kWindowSwitch{window_switch, "use_sliding_window"}, kFullLayers{full_layers, "max_window_layers"};

// -- the table ----------------------------------------------------------------------------------------------------------------------------
std::vector<HfFamily> families() {
  return {
      {.model_type = "gpt2",
       .architecture = "GPT2LMHeadModel",
       .keys = {{layers, "n_layer", "num_hidden_layers"},
                {width, "n_embd", "hidden_size"},
                {heads, "n_head", "num_attention_heads"},
                {mlp_width, "n_inner"},
                {positions, "n_positions", "max_position_embeddings"},
                {vocabulary, "vocab_size"},
                {epsilon, "layer_norm_epsilon"},
                {activation, "activation_function"},
                {scale_scores, "scale_attn_weights"},
                {tied_head, "tie_word_embeddings"}},
       .default_mlp_ratio = 4,
       .default_epsilon = 1e-5,
       .default_activation = "gelu_new",
       .default_tied_head = true,
       .norm = kLayerNorm,
       .positions = kLearned,
       .activations = kPlainActivations,
       .biases = HfBiases::all,
       .dropouts = {"resid_pdrop", "embd_pdrop", "attn_pdrop"},
       .tensors = kGpt2Tensors},
      {.model_type = "llama",
       .architecture = "LlamaForCausalLM",
       .keys = llama_keys({kAttentionBias, kMlpBias, kWindow}),
       .default_groups_are_heads = true,  // Llama 1 files lack the key,
       .default_positions = 2048,         // and files of Llama 1 and 2 may lack this one
       .default_activation = "silu",
       .norm = kRmsNorm,
       .positions = kRope,
       .activations = kGatedActivations,
       .needs_whole_heads = true,
       .window = {HfWindow::Rule::by_layer},
       .dropouts = {"attention_dropout"},
       .tensors = kLlamaTensors},
      {.model_type = "mistral",
       .architecture = "MistralForCausalLM",
       .keys = llama_keys({kWindow}),
       .default_activation = "silu",
       .norm = kRmsNorm,
       .positions = kRope,
       .activations = kGatedActivations,
       .window = {HfWindow::Rule::always},
       .switches_without_effect = {"attention_bias"},
       .dropouts = {"attention_dropout"},
       .tensors = kLlamaTensors},
      {.model_type = "qwen2",
       .architecture = "Qwen2ForCausalLM",
       .keys = llama_keys({kWindowSwitch, kFullLayers, kWindow}),
       .default_activation = "silu",
       .norm = kRmsNorm,
       .positions = kRope,
       .activations = kGatedActivations,
       .biases = HfBiases::qkv,
       .window = {HfWindow::Rule::switched},
       .switches_without_effect = {"attention_bias"},
       .dropouts = {"attention_dropout"},
       .tensors = kLlamaTensors},
      {.model_type = "qwen3",
       .architecture = "Qwen3ForCausalLM",
       .keys = llama_keys({kAttentionBias, kWindowSwitch, kFullLayers, kWindow}),
       .default_head_width = 128,
       .default_activation = "silu",
       .norm = kRmsNorm,
       .positions = kRope,
       .activations = kGatedActivations,
       .has_qk_norm = true,
       .window = {HfWindow::Rule::switched},
       .dropouts = {"attention_dropout"},
       .tensors = kLlamaTensors},
  };
}

}  // namespace

const HfKey* HfFamily::key(HfProperty property) const {
  const auto it = std::find_if(keys.begin(), keys.end(), [&](const HfKey& k) { return k.property == property; });
  return it == keys.end() ? nullptr : &*it;
}

bool HfFamily::has_rope() const { return positions == kRope; }
bool HfFamily::has_position_table() const { return positions == kLearned; }

const std::string* HfFamily::activation_name(ActivationFunc ours) const {
  const auto it = std::find_if(activations.begin(), activations.end(), [&](const HfActivationName& a) { return a.ours == ours; });
  return it == activations.end() ? nullptr : &it->name;
}

const std::vector<HfFamily>& hf_families() {
  static const std::vector<HfFamily> table = families();
  return table;
}

const HfFamily* find_hf_family(const std::string& model_type) {
  const std::vector<HfFamily>& all = hf_families();
  const auto it = std::find_if(all.begin(), all.end(), [&](const HfFamily& f) { return f.model_type == model_type; });
  return it == all.end() ? nullptr : &*it;
}

std::string hf_family_names(const std::string& last) {
  std::string names;
  for (const HfFamily& f : hf_families()) names += (names.empty() ? "" : &f == &hf_families().back() ? last : ", ") + f.model_type;
  return names;
}

}  // namespace mbt

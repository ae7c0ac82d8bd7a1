// The transformer: section "model". Names and defaults as in Megatron-Core and Megatron Bridge where those have the field.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/base/fields.h"
#include "core/config/precision_names.h"

namespace mbt {

enum class Normalization : uint8_t { layer_norm, rms_norm };
template <>
struct EnumNames<Normalization> {
  using enum Normalization;
  static constexpr EnumName all[] = {{layer_norm, "LayerNorm"}, {rms_norm, "RMSNorm"}};
};

/// gelu: its tanh approximation, as geglu's.
enum class ActivationFunc : uint8_t { swiglu, geglu, gelu, gelu_erf, silu, relu, squared_relu };
template <>
struct EnumNames<ActivationFunc> {
  using enum ActivationFunc;
  static constexpr EnumName all[] = {{swiglu, "swiglu"},
                                     {geglu, "geglu"},
                                     {gelu, "gelu"},
                                     {gelu_erf, "gelu_erf"},
                                     {silu, "silu"},
                                     {relu, "relu"},
                                     {squared_relu, "squared_relu"}};
};

enum class PositionEmbedding : uint8_t { rope, learned_absolute, none };
template <>
struct EnumNames<PositionEmbedding> {
  using enum PositionEmbedding;
  static constexpr EnumName all[] = {{rope, "rope"}, {learned_absolute, "learned_absolute"}, {none, "none"}};
};

/// attention_backend: what is asked for, also what is not built in.
enum class AttentionChoice : uint8_t { automatic, flash, math, cudnn };
template <>
struct EnumNames<AttentionChoice> {
  using enum AttentionChoice;
  static constexpr EnumName all[] = {{automatic, "auto"}, {flash, "flash"}, {math, "math"}, {cudnn, "cudnn"}};
  static constexpr EnumName others[] = {{flash, "fused"}, {math, "unfused"}, {math, "local"}};
};

enum class RecomputeGranularity : uint8_t { selective, full };
template <>
struct EnumNames<RecomputeGranularity> {
  using enum RecomputeGranularity;
  static constexpr EnumName all[] = {{selective, "selective"}, {full, "full"}};
};

enum class RecomputeMethod : uint8_t { uniform, block };
template <>
struct EnumNames<RecomputeMethod> {
  using enum RecomputeMethod;
  static constexpr EnumName all[] = {{uniform, "uniform"}, {block, "block"}};
};

struct ModelConfig {
  // -- shape: the defaults are the built-in small model -----------------------------------------------------------------------------------
  int64_t num_layers = 4;
  int64_t hidden_size = 128;
  int64_t num_attention_heads = 4;
  std::optional<int64_t> num_query_groups;
  std::optional<int64_t> kv_channels;
  std::optional<int64_t> ffn_hidden_size;
  int64_t seq_length = 128;
  int64_t vocab_size = 256;
  int64_t make_vocab_size_divisible_by = 128;
  // -- family -----------------------------------------------------------------------------------------------------------------------------
  Normalization normalization = Normalization::rms_norm;
  double layernorm_epsilon = 1e-5;
  ActivationFunc activation_func = ActivationFunc::swiglu;
  PositionEmbedding position_embedding_type = PositionEmbedding::rope;
  std::optional<int64_t> max_position_embeddings;
  std::optional<int64_t> sliding_window;
  double rotary_base = 10000.0;
  double rotary_percent = 1.0;
  bool rope_scaling = false;
  double rope_scaling_factor = 8.0;
  double rope_low_freq_factor = 1.0;
  double rope_high_freq_factor = 4.0;
  int64_t rope_original_max_position_embeddings = 8192;
  bool add_bias_linear = false;
  bool add_qkv_bias = false;
  bool add_attention_bias = false;
  bool add_mlp_bias = false;
  bool qk_layernorm = false;
  bool share_embeddings_and_output_weights = true;
  std::optional<double> softmax_scale;
  AttentionChoice attention_backend = AttentionChoice::automatic;
  bool calculate_per_token_loss = false;
  std::string hf_path;
  // -- initialization ---------------------------------------------------------------------------------------------------------------------
  std::optional<double> init_method_std;
  std::optional<double> embedding_init_method_std;
  // -- regularization upstream offers: only 0 is supported --------------------------------------------------------------------------------
  double hidden_dropout = 0.0;
  double attention_dropout = 0.0;
  // -- recompute --------------------------------------------------------------------------------------------------------------------------
  std::optional<RecomputeGranularity> recompute_granularity;
  RecomputeMethod recompute_method = RecomputeMethod::uniform;
  std::optional<int64_t> recompute_num_layers;
  // -- precision: overwritten from mixed_precision (core/recipe/synchronize.h) ------------------------------------------------------------
  bool fp16 = false;
  bool bf16 = false;
  WeightDtype params_dtype = WeightDtype::fp32;
  std::optional<WeightDtype> pipeline_dtype;
  std::optional<WeightDtype> autocast_dtype;
  std::optional<Fp8Format> fp8;
  Fp8Recipe fp8_recipe = Fp8Recipe::delayed;
  bool first_last_layers_bf16 = false;
  int64_t fp8_margin = 0;
  int64_t fp8_amax_history_len = 1;
  AmaxChoice fp8_amax_compute_algo = AmaxChoice::most_recent;
  bool fp8_wgrad = true;
  bool fp8_dot_product_attention = false;
  bool fp8_multi_head_attention = false;
  bool fp8_param = false;
  std::optional<Fp4Format> fp4;
  Fp4Recipe fp4_recipe = Fp4Recipe::nvfp4;
  bool fp4_param = false;
  int64_t num_layers_at_start_in_bf16 = 1;
  int64_t num_layers_at_end_in_bf16 = 1;
  bool fp8_output_proj = false;
  // -- parallelism that mbtrain does not have: only 1 is accepted -------------------------------------------------------------------------
  int64_t tensor_model_parallel_size = 1;
  int64_t pipeline_model_parallel_size = 1;
  int64_t context_parallel_size = 1;

  // -- derived ---------------------------------------------------------------------------------------------------------------------------
  int64_t kv_heads() const { return num_query_groups.value_or(num_attention_heads); }
  int64_t head_dim() const { return kv_channels.value_or(hidden_size / num_attention_heads); }
  bool is_gated() const { return activation_func == ActivationFunc::swiglu || activation_func == ActivationFunc::geglu; }
  /// Megatron's default is 4 h; gated models take 8/3 h rounded up to a multiple of 64, the Llama convention.
  int64_t ffn() const {
    if (ffn_hidden_size) return *ffn_hidden_size;
    return is_gated() ? (hidden_size * 8 / 3 + 63) / 64 * 64 : 4 * hidden_size;
  }
  /// Upstream's 0.02 suits widths around 1000. In a narrow model it starts attention so close to uniform that it takes hundreds of steps to
  /// form, and when it does is chance; sqrt(2 / (5 h)) equals 0.02 at h = 1000.
  double init_std() const {
    return init_method_std.value_or(hidden_size < 1000 ? std::sqrt(0.4 / static_cast<double>(hidden_size)) : 0.02);
  }
  int64_t padded_vocab_size() const {
    const int64_t m = make_vocab_size_divisible_by;
    return (vocab_size + m - 1) / m * m;
  }
  int64_t max_positions() const { return max_position_embeddings.value_or(seq_length); }
  /// Tokens of the longest sequence that it can read.
  int64_t longest_sequence() const { return std::min(max_positions(), sliding_window.value_or(max_positions())); }
  bool has_qkv_bias() const { return add_bias_linear || add_attention_bias || add_qkv_bias; }
  bool has_proj_bias() const { return add_bias_linear || add_attention_bias; }
  bool has_mlp_bias() const { return add_bias_linear || add_mlp_bias; }
  double attention_scale() const { return softmax_scale.value_or(1.0 / std::sqrt(static_cast<double>(head_dim()))); }
  int64_t qkv_width() const { return (num_attention_heads + 2 * kv_heads()) * head_dim(); }

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    const char* dtypes_doc = "fp32, fp16 or bf16";
    v(s.num_layers, FieldInfo{.name = "num_layers", .doc = "Transformer layers", .min = 1, .max = 100000});
    v(s.hidden_size, FieldInfo{.name = "hidden_size", .doc = "Width of the residual stream", .min = 1, .max = 1048576});
    v(s.num_attention_heads,
      FieldInfo{.name = "num_attention_heads", .doc = "Query heads", .min = 1, .max = 65536, .is_architecture = true});
    v(s.num_query_groups, FieldInfo{.name = "num_query_groups",
                                    .doc = "Key/value heads (GQA); null: as many as query heads",
                                    .min = 1,
                                    .max = 65536,
                                    .is_architecture = true});
    v(s.kv_channels, FieldInfo{.name = "kv_channels",
                               .doc = "Head width; null: hidden_size / num_attention_heads",
                               .min = 1,
                               .max = 1048576,
                               .is_architecture = true});
    v(s.ffn_hidden_size, FieldInfo{.name = "ffn_hidden_size",
                                   .doc = "MLP width; null: 4 h, or 8/3 h to the next multiple of 64 when gated",
                                   .min = 1,
                                   .max = 16777216});
    v(s.seq_length,
      FieldInfo{
          .name = "seq_length", .doc = "Tokens of one sample; dataset.seq_length follows it", .unit = "tokens", .min = 1, .max = 16777216});
    v(s.vocab_size,
      FieldInfo{.name = "vocab_size", .doc = "Vocabulary before padding", .min = 2, .max = 16777216, .is_architecture = true});
    v(s.make_vocab_size_divisible_by,
      FieldInfo{.name = "make_vocab_size_divisible_by", .doc = "Pads the embedding and the head", .min = 1, .max = 1048576});
    v(s.normalization, FieldInfo{.name = "normalization", .doc = "Norm of all layers", .is_architecture = true});
    v(s.layernorm_epsilon, FieldInfo{.name = "layernorm_epsilon",
                                     .doc = "Added to the variance",
                                     .min = 0,
                                     .max = 1,
                                     .alias = "norm-epsilon",
                                     .is_architecture = true});
    v(s.activation_func,
      FieldInfo{
          .name = "activation_func", .doc = "MLP activation; swiglu and geglu are gated", .alias = kNoAlias, .is_architecture = true});
    v(s.position_embedding_type,
      FieldInfo{.name = "position_embedding_type", .doc = "Rotary or learned positions", .is_architecture = true});
    v(s.max_position_embeddings,
      FieldInfo{
          .name = "max_position_embeddings", .doc = "Longest position; null: seq_length", .unit = "tokens", .min = 1, .max = 1073741824});
    v(s.sliding_window, FieldInfo{.name = "sliding_window",
                                  .doc = "Tokens that attention can see, as in Mistral and Qwen (sliding_window of Hugging Face). It has "
                                         "no effect on sequences up to this length; longer ones are rejected. null: all",
                                  .unit = "tokens",
                                  .min = 1,
                                  .max = 1073741824,
                                  .alias = kNoAlias});
    v(s.rotary_base, FieldInfo{.name = "rotary_base", .doc = "RoPE theta", .min = 1, .is_architecture = true});
    v(s.rotary_percent,
      FieldInfo{.name = "rotary_percent", .doc = "Share of each head that is rotated", .min = 0, .max = 1, .is_architecture = true});
    v(s.rope_scaling,
      FieldInfo{.name = "rope_scaling", .doc = "Llama 3 RoPE scaling", .alias = "use-rope-scaling", .is_architecture = true});
    v(s.rope_scaling_factor,
      FieldInfo{.name = "rope_scaling_factor", .doc = "Llama 3 RoPE scaling: factor", .min = 1, .is_architecture = true});
    v(s.rope_low_freq_factor, FieldInfo{.name = "rope_low_freq_factor",
                                        .doc = "Llama 3 RoPE scaling: low frequency factor",
                                        .min = 0,
                                        .alias = kNoAlias,
                                        .is_architecture = true});
    v(s.rope_high_freq_factor, FieldInfo{.name = "rope_high_freq_factor",
                                         .doc = "Llama 3 RoPE scaling: high frequency factor",
                                         .min = 0,
                                         .alias = kNoAlias,
                                         .is_architecture = true});
    v(s.rope_original_max_position_embeddings, FieldInfo{.name = "rope_original_max_position_embeddings",
                                                         .doc = "Llama 3 RoPE scaling: context of the unscaled model",
                                                         .unit = "tokens",
                                                         .min = 1,
                                                         .alias = kNoAlias,
                                                         .is_architecture = true});
    v(s.add_bias_linear, FieldInfo{.name = "add_bias_linear", .doc = "Biases on all linear layers", .alias = kNoAlias});
    v(s.add_qkv_bias, FieldInfo{.name = "add_qkv_bias", .doc = "Bias on the QKV projection only (Qwen2)"});
    v(s.add_attention_bias, FieldInfo{.name = "add_attention_bias",
                                      .doc = "Biases on the QKV and output projections of attention (attention_bias of Hugging Face)",
                                      .alias = kNoAlias});
    v(s.add_mlp_bias,
      FieldInfo{.name = "add_mlp_bias", .doc = "Biases on the linear layers of the MLP (mlp_bias of Hugging Face)", .alias = kNoAlias});
    v(s.qk_layernorm, FieldInfo{.name = "qk_layernorm", .doc = "RMSNorm on each query and key head (Qwen3)"});
    v(s.share_embeddings_and_output_weights,
      FieldInfo{.name = "share_embeddings_and_output_weights", .doc = "Tied head", .alias = kNoAlias});
    v(s.softmax_scale, FieldInfo{.name = "softmax_scale",
                                 .doc = "Attention scale; null: 1/sqrt(head width)",
                                 .min = 0,
                                 .alias = kNoAlias,
                                 .is_architecture = true});
    v(s.calculate_per_token_loss, FieldInfo{.name = "calculate_per_token_loss",
                                            .doc = "Train on the mean loss over all tokens of the global batch that count in the loss; "
                                                   "false: on the mean over micro-batches of each micro-batch's mean loss"});
    v(s.attention_backend,
      FieldInfo{.name = "attention_backend",
                .doc = "How attention is computed on a GPU: flash (tensor cores; head widths 64 and 128 in 16 bits), math (any head width "
                       "and dtype), auto (flash where supported, else math); cudnn is not built in. The CPU has one implementation"});
    v(s.hf_path, FieldInfo{.name = "hf_path",
                           .doc = "Hugging Face folder to take the architecture and the weights from",
                           .alias = kNoAlias,
                           .holds = Holds::folder});
    v(s.init_method_std, FieldInfo{.name = "init_method_std",
                                   .doc = "Standard deviation of the initial weights; output projections: this / sqrt(2 L). null: 0.02, "
                                          "or sqrt(2 / (5 h)) for widths below 1000",
                                   .min = 0});
    v(s.embedding_init_method_std,
      FieldInfo{.name = "embedding_init_method_std", .doc = "The same for embeddings; null: init_method_std", .min = 0, .alias = kNoAlias});
    v(s.hidden_dropout, FieldInfo{.name = "hidden_dropout", .doc = "Dropout of hidden states; only 0 is supported", .min = 0, .max = 0});
    v(s.attention_dropout,
      FieldInfo{.name = "attention_dropout", .doc = "Dropout of attention weights; only 0 is supported", .min = 0, .max = 0});
    v(s.recompute_granularity, FieldInfo{.name = "recompute_granularity",
                                         .doc = "Activations recomputed in backward: null (none), selective (outputs of norms and of the "
                                                "activation function; attention keeps no score matrix anyway), full (whole layers)"});
    v(s.recompute_method,
      FieldInfo{.name = "recompute_method", .doc = "full: uniform (every layer) or block (the first recompute_num_layers)"});
    v(s.recompute_num_layers, FieldInfo{.name = "recompute_num_layers", .doc = "block: layers to recompute; null: all", .min = 0});
    v(s.fp16, FieldInfo{.name = "fp16", .doc = "fp16 training; set by mixed_precision", .alias = kNoAlias});
    v(s.bf16, FieldInfo{.name = "bf16", .doc = "bf16 training; set by mixed_precision", .alias = kNoAlias});
    v(s.params_dtype, FieldInfo{.name = "params_dtype", .doc = dtypes_doc, .alias = kNoAlias});
    v(s.pipeline_dtype, FieldInfo{.name = "pipeline_dtype", .doc = "Between pipeline stages (unused: one stage)", .alias = kNoAlias});
    v(s.autocast_dtype, FieldInfo{.name = "autocast_dtype", .doc = "Kept for upstream configs; null: params_dtype", .alias = kNoAlias});
    v(s.fp8, FieldInfo{.name = "fp8", .doc = "FP8 format: e4m3 everywhere, or hybrid (E5M2 gradients)", .alias = kNoAlias});
    v(s.fp8_recipe, FieldInfo{.name = "fp8_recipe", .doc = "FP8 scaling", .alias = kNoAlias});
    v(s.first_last_layers_bf16,
      FieldInfo{.name = "first_last_layers_bf16", .doc = "Keeps the first and last layers in 16 bits", .alias = kNoAlias});
    v(s.fp8_margin,
      FieldInfo{.name = "fp8_margin", .doc = "Delayed scaling: headroom in powers of two", .min = -100, .max = 100, .alias = kNoAlias});
    v(s.fp8_amax_history_len, FieldInfo{.name = "fp8_amax_history_len",
                                        .doc = "Delayed scaling: length of the amax history",
                                        .min = 1,
                                        .max = 1048576,
                                        .alias = kNoAlias});
    v(s.fp8_amax_compute_algo,
      FieldInfo{.name = "fp8_amax_compute_algo", .doc = "Delayed scaling: which amax of the history", .alias = kNoAlias});
    v(s.fp8_wgrad, FieldInfo{.name = "fp8_wgrad", .doc = "Quantized weight-gradient GEMM; see docs/mixed-precision.md", .alias = kNoAlias});
    v(s.fp8_dot_product_attention,
      FieldInfo{.name = "fp8_dot_product_attention", .doc = "FP8 attention; not supported, must be false", .alias = kNoAlias});
    v(s.fp8_multi_head_attention,
      FieldInfo{.name = "fp8_multi_head_attention", .doc = "FP8 attention; not supported, must be false", .alias = kNoAlias});
    v(s.fp8_param,
      FieldInfo{.name = "fp8_param", .doc = "Linear weights exist only as FP8 codes, requantized from fp32 masters", .alias = kNoAlias});
    v(s.fp4, FieldInfo{.name = "fp4", .doc = "FP4 format", .alias = kNoAlias});
    v(s.fp4_recipe, FieldInfo{.name = "fp4_recipe", .doc = "FP4 scaling", .alias = kNoAlias});
    v(s.fp4_param, FieldInfo{.name = "fp4_param", .doc = "Linear weights exist only as FP4 codes", .alias = kNoAlias});
    v(s.num_layers_at_start_in_bf16,
      FieldInfo{.name = "num_layers_at_start_in_bf16", .doc = "With first_last_layers_bf16", .min = 0, .alias = kNoAlias});
    v(s.num_layers_at_end_in_bf16,
      FieldInfo{.name = "num_layers_at_end_in_bf16", .doc = "With first_last_layers_bf16", .min = 0, .alias = kNoAlias});
    v(s.fp8_output_proj,
      FieldInfo{.name = "fp8_output_proj", .doc = "FP8 LM head (mxfp8 only upstream); not supported, must be false", .alias = kNoAlias});
    v(s.tensor_model_parallel_size, FieldInfo{.name = "tensor_model_parallel_size", .doc = "Only 1 is supported", .min = 1, .max = 1});
    v(s.pipeline_model_parallel_size, FieldInfo{.name = "pipeline_model_parallel_size", .doc = "Only 1 is supported", .min = 1, .max = 1});
    v(s.context_parallel_size, FieldInfo{.name = "context_parallel_size", .doc = "Only 1 is supported", .min = 1, .max = 1});
  }
};

}  // namespace mbt

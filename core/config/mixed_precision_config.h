// Section "mixed_precision": the recipe.
#pragma once

#include "core/base/fields.h"
#include "core/config/precision_names.h"

namespace mbt {

/// Every field of Megatron Bridge's MixedPrecisionConfig, and the recipe's name.
/// Meanings, sync rules and upstream's quirks: docs/mixed-precision.md.
struct MixedPrecisionConfig {
  std::string name = "bf16_mixed";
  bool fp32 = false;
  bool fp16 = false;
  bool bf16 = false;
  std::optional<WeightDtype> params_dtype;
  std::optional<WeightDtype> pipeline_dtype;
  std::optional<WeightDtype> autocast_dtype;
  bool autocast_enabled = false;
  bool grad_reduce_in_fp32 = true;
  std::optional<Fp8Format> fp8;
  Fp8Recipe fp8_recipe = Fp8Recipe::tensorwise;
  bool first_last_layers_bf16 = false;
  int64_t fp8_margin = 0;
  int64_t fp8_amax_history_len = 1;
  AmaxChoice fp8_amax_compute_algo = AmaxChoice::most_recent;
  bool fp8_wgrad = true;
  bool fp8_dot_product_attention = false;
  bool fp8_multi_head_attention = false;
  std::optional<bool> fp8_param;
  bool fp8_param_gather = false;
  std::optional<Fp4Format> fp4;
  Fp4Recipe fp4_recipe = Fp4Recipe::nvfp4;
  std::optional<bool> fp4_param;
  bool fp4_param_gather = false;
  std::optional<double> loss_scale;
  double initial_loss_scale = 4294967296.0;
  double min_loss_scale = 1.0;
  double loss_scale_window = 1000.0;
  int64_t hysteresis = 2;
  int64_t num_layers_at_start_in_bf16 = 0;
  int64_t num_layers_at_end_in_bf16 = 0;
  bool reuse_grad_buf_for_mxfp8_param_ag = false;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.name, FieldInfo{.name = "name", .doc = "Name of the recipe these values started from", .alias = kNoAlias});
    v(s.fp32,
      FieldInfo{.name = "fp32", .doc = "Full precision; has no effect on the synchronized configs, as upstream", .alias = kNoAlias});
    v(s.fp16, FieldInfo{.name = "fp16", .doc = "fp16 training", .alias = kNoAlias});
    v(s.bf16, FieldInfo{.name = "bf16", .doc = "bf16 training", .alias = kNoAlias});
    v(s.params_dtype, FieldInfo{.name = "params_dtype", .doc = "dtype of the weights", .alias = kNoAlias});
    v(s.pipeline_dtype, FieldInfo{.name = "pipeline_dtype", .doc = "dtype between pipeline stages", .alias = kNoAlias});
    v(s.autocast_dtype, FieldInfo{.name = "autocast_dtype", .doc = "null: params_dtype", .alias = kNoAlias});
    v(s.autocast_enabled, FieldInfo{.name = "autocast_enabled", .doc = "Has no effect, as upstream", .alias = kNoAlias});
    v(s.grad_reduce_in_fp32, FieldInfo{.name = "grad_reduce_in_fp32",
                                       .doc = "Ranks exchange gradients in fp32; false: in 16 bits. They accumulate in fp32 either way",
                                       .alias = kNoAlias});
    v(s.fp8, FieldInfo{.name = "fp8", .doc = "e4m3 everywhere, or hybrid (E5M2 gradients)", .alias = "fp8-format"});
    v(s.fp8_recipe, FieldInfo{.name = "fp8_recipe", .doc = "Scaling"});
    v(s.first_last_layers_bf16, FieldInfo{.name = "first_last_layers_bf16", .doc = "Keeps the first and last layers in 16 bits"});
    v(s.fp8_margin, FieldInfo{.name = "fp8_margin", .doc = "Delayed: headroom in powers of two", .min = -100, .max = 100});
    v(s.fp8_amax_history_len,
      FieldInfo{.name = "fp8_amax_history_len", .doc = "Delayed: length of the amax history", .min = 1, .max = 1048576});
    v(s.fp8_amax_compute_algo, FieldInfo{.name = "fp8_amax_compute_algo", .doc = "Delayed: which amax of the history"});
    v(s.fp8_wgrad, FieldInfo{.name = "fp8_wgrad", .doc = "Quantized weight-gradient GEMM", .alias = kNoAlias});
    v(s.fp8_dot_product_attention,
      FieldInfo{.name = "fp8_dot_product_attention", .doc = "FP8 attention; not supported", .alias = kNoAlias});
    v(s.fp8_multi_head_attention, FieldInfo{.name = "fp8_multi_head_attention", .doc = "FP8 attention; not supported", .alias = kNoAlias});
    v(s.fp8_param, FieldInfo{.name = "fp8_param", .doc = "Weights kept as FP8 codes; equal to fp8_param_gather", .alias = kNoAlias});
    v(s.fp8_param_gather, FieldInfo{.name = "fp8_param_gather", .doc = "Ranks exchange FP8 codes; equal to fp8_param"});
    v(s.fp4, FieldInfo{.name = "fp4", .doc = "FP4 format", .alias = "fp4-format"});
    v(s.fp4_recipe, FieldInfo{.name = "fp4_recipe", .doc = "FP4 scaling"});
    v(s.fp4_param, FieldInfo{.name = "fp4_param", .doc = "Weights kept as FP4 codes; equal to fp4_param_gather"});
    v(s.fp4_param_gather, FieldInfo{.name = "fp4_param_gather", .doc = "Ranks exchange FP4 codes; equal to fp4_param", .alias = kNoAlias});
    v(s.loss_scale, FieldInfo{.name = "loss_scale", .doc = "Constant loss scale; null: dynamic for fp16", .min = 0});
    v(s.initial_loss_scale, FieldInfo{.name = "initial_loss_scale", .doc = "Dynamic loss scale at the start", .min = 1e-30});
    v(s.min_loss_scale, FieldInfo{.name = "min_loss_scale", .doc = "Lowest dynamic loss scale", .min = 1e-30});
    v(s.loss_scale_window,
      FieldInfo{.name = "loss_scale_window", .doc = "Clean steps before the scale doubles", .unit = "steps", .min = 1});
    v(s.hysteresis, FieldInfo{.name = "hysteresis", .doc = "Overflows since the last growth before the scale halves", .min = 1});
    v(s.num_layers_at_start_in_bf16, FieldInfo{.name = "num_layers_at_start_in_bf16", .doc = "With first_last_layers_bf16", .min = 0});
    v(s.num_layers_at_end_in_bf16, FieldInfo{.name = "num_layers_at_end_in_bf16", .doc = "With first_last_layers_bf16", .min = 0});
    v(s.reuse_grad_buf_for_mxfp8_param_ag,
      FieldInfo{.name = "reuse_grad_buf_for_mxfp8_param_ag", .doc = "mxfp8: gather 16-bit weights in the gradient buffer"});
  }
};

}  // namespace mbt

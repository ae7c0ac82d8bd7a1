// Sections "mixed_precision" and "ddp".
#pragma once

#include "core/base/fields.h"

namespace mbt {

/// Every field of Megatron Bridge's MixedPrecisionConfig, and the recipe's name.
/// Meanings, sync rules and upstream's quirks: docs/mixed-precision.md.
struct MixedPrecisionConfig {
  std::string name = "bf16_mixed";
  bool fp32 = false;
  bool fp16 = false;
  bool bf16 = false;
  std::optional<std::string> params_dtype;
  std::optional<std::string> pipeline_dtype;
  std::optional<std::string> autocast_dtype;
  bool autocast_enabled = false;
  bool grad_reduce_in_fp32 = true;
  std::optional<std::string> fp8;
  std::string fp8_recipe = "tensorwise";
  bool first_last_layers_bf16 = false;
  int64_t fp8_margin = 0;
  int64_t fp8_amax_history_len = 1;
  std::string fp8_amax_compute_algo = "most_recent";
  bool fp8_wgrad = true;
  bool fp8_dot_product_attention = false;
  bool fp8_multi_head_attention = false;
  std::optional<bool> fp8_param;
  bool fp8_param_gather = false;
  std::optional<std::string> fp4;
  std::string fp4_recipe = "nvfp4";
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
    v(s.name, FieldInfo{.name = "name", .doc = "Name of the recipe these values started from"});
    v(s.fp32, FieldInfo{.name = "fp32", .doc = "Full precision; without effect on the synchronized configs, as upstream"});
    v(s.fp16, FieldInfo{.name = "fp16", .doc = "fp16 training"});
    v(s.bf16, FieldInfo{.name = "bf16", .doc = "bf16 training"});
    v(s.params_dtype, FieldInfo{.name = "params_dtype", .doc = "dtype of the weights", .choices = {"fp32", "fp16", "bf16"}});
    v(s.pipeline_dtype, FieldInfo{.name = "pipeline_dtype", .doc = "dtype between pipeline stages", .choices = {"fp32", "fp16", "bf16"}});
    v(s.autocast_dtype, FieldInfo{.name = "autocast_dtype", .doc = "null: params_dtype", .choices = {"fp32", "fp16", "bf16"}});
    v(s.autocast_enabled, FieldInfo{.name = "autocast_enabled", .doc = "Without effect, as upstream"});
    v(s.grad_reduce_in_fp32, FieldInfo{.name = "grad_reduce_in_fp32", .doc = "Gradients accumulate and reduce in fp32"});
    v(s.fp8, FieldInfo{.name = "fp8", .doc = "e4m3 everywhere, or hybrid (E5M2 gradients)", .choices = {"e4m3", "hybrid"}});
    v(s.fp8_recipe, FieldInfo{.name = "fp8_recipe", .doc = "Scaling", .choices = {"delayed", "tensorwise", "blockwise", "mxfp8"}});
    v(s.first_last_layers_bf16, FieldInfo{.name = "first_last_layers_bf16", .doc = "Keeps the first and last layers in 16 bits"});
    v(s.fp8_margin, FieldInfo{.name = "fp8_margin", .doc = "Delayed: headroom in powers of two", .min = -100, .max = 100});
    v(s.fp8_amax_history_len,
      FieldInfo{.name = "fp8_amax_history_len", .doc = "Delayed: length of the amax history", .min = 1, .max = 1048576});
    v(s.fp8_amax_compute_algo,
      FieldInfo{.name = "fp8_amax_compute_algo", .doc = "Delayed: which amax of the history", .choices = {"most_recent", "max"}});
    v(s.fp8_wgrad, FieldInfo{.name = "fp8_wgrad", .doc = "Quantized weight-gradient GEMM"});
    v(s.fp8_dot_product_attention, FieldInfo{.name = "fp8_dot_product_attention", .doc = "FP8 attention; not supported"});
    v(s.fp8_multi_head_attention, FieldInfo{.name = "fp8_multi_head_attention", .doc = "FP8 attention; not supported"});
    v(s.fp8_param, FieldInfo{.name = "fp8_param", .doc = "Weights kept as FP8 codes; equal to fp8_param_gather"});
    v(s.fp8_param_gather, FieldInfo{.name = "fp8_param_gather", .doc = "Ranks exchange FP8 codes; equal to fp8_param"});
    v(s.fp4, FieldInfo{.name = "fp4", .doc = "FP4 format", .choices = {"e2m1"}});
    v(s.fp4_recipe, FieldInfo{.name = "fp4_recipe", .doc = "FP4 scaling", .choices = {"nvfp4"}});
    v(s.fp4_param, FieldInfo{.name = "fp4_param", .doc = "Weights kept as FP4 codes; equal to fp4_param_gather"});
    v(s.fp4_param_gather, FieldInfo{.name = "fp4_param_gather", .doc = "Ranks exchange FP4 codes; equal to fp4_param"});
    v(s.loss_scale, FieldInfo{.name = "loss_scale", .doc = "Constant loss scale; null: dynamic for fp16", .min = 0});
    v(s.initial_loss_scale, FieldInfo{.name = "initial_loss_scale", .doc = "Dynamic loss scale at the start", .min = 1e-30});
    v(s.min_loss_scale, FieldInfo{.name = "min_loss_scale", .doc = "Dynamic loss scale never falls below", .min = 1e-30});
    v(s.loss_scale_window,
      FieldInfo{.name = "loss_scale_window", .doc = "Clean steps before the scale doubles", .unit = "steps", .min = 1});
    v(s.hysteresis, FieldInfo{.name = "hysteresis", .doc = "Overflows since the last growth before the scale halves", .min = 1});
    v(s.num_layers_at_start_in_bf16, FieldInfo{.name = "num_layers_at_start_in_bf16", .doc = "With first_last_layers_bf16", .min = 0});
    v(s.num_layers_at_end_in_bf16, FieldInfo{.name = "num_layers_at_end_in_bf16", .doc = "With first_last_layers_bf16", .min = 0});
    v(s.reuse_grad_buf_for_mxfp8_param_ag,
      FieldInfo{.name = "reuse_grad_buf_for_mxfp8_param_ag", .doc = "mxfp8: gather 16-bit weights in the gradient buffer"});
  }
};

struct DdpConfig {
  bool grad_reduce_in_fp32 = false;
  bool overlap_grad_reduce = false;
  bool overlap_param_gather = false;
  bool use_distributed_optimizer = false;
  std::optional<int64_t> bucket_size;
  bool pad_buckets_for_high_nccl_busbw = false;
  bool average_in_collective = false;
  bool check_for_nan_in_grad = false;
  bool reduce_scatter_with_fp32_accumulation = false;
  bool fp8_param_gather = false;
  bool fp4_param_gather = false;
  bool reuse_grad_buf_for_mxfp8_param_ag = false;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.grad_reduce_in_fp32, FieldInfo{.name = "grad_reduce_in_fp32", .doc = "Set by mixed_precision"});
    v(s.overlap_grad_reduce,
      FieldInfo{
          .name = "overlap_grad_reduce", .doc = "Reduce buckets during the last micro-batch's backward", .alias = "overlap-grad-reduce"});
    v(s.overlap_param_gather, FieldInfo{.name = "overlap_param_gather", .doc = "Gather parameters during the next forward"});
    v(s.use_distributed_optimizer,
      FieldInfo{.name = "use_distributed_optimizer", .doc = "ZeRO-1; kept equal to optimizer.use_distributed_optimizer"});
    v(s.bucket_size, FieldInfo{.name = "bucket_size",
                               .doc = "Parameters of one bucket; null: max(40e6, 1e6 x ranks)",
                               .unit = "parameters",
                               .min = 1,
                               .alias = "ddp-bucket-size"});
    v(s.pad_buckets_for_high_nccl_busbw,
      FieldInfo{.name = "pad_buckets_for_high_nccl_busbw", .doc = "Pad buckets to multiples of 2^16 elements"});
    v(s.average_in_collective,
      FieldInfo{.name = "average_in_collective", .doc = "Average inside the collective instead of scaling before it"});
    v(s.check_for_nan_in_grad, FieldInfo{.name = "check_for_nan_in_grad",
                                         .doc = "End the run when a gradient is not finite, whatever nan_policy says",
                                         .alias = "check-for-nan-in-loss-and-grad"});
    v(s.reduce_scatter_with_fp32_accumulation,
      FieldInfo{.name = "reduce_scatter_with_fp32_accumulation", .doc = "16-bit transport, fp32 sums"});
    v(s.fp8_param_gather, FieldInfo{.name = "fp8_param_gather", .doc = "Set by mixed_precision"});
    v(s.fp4_param_gather, FieldInfo{.name = "fp4_param_gather", .doc = "Set by mixed_precision"});
    v(s.reuse_grad_buf_for_mxfp8_param_ag, FieldInfo{.name = "reuse_grad_buf_for_mxfp8_param_ag", .doc = "Set by mixed_precision"});
  }
};

}  // namespace mbt

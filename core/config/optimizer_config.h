// Section "optimizer".
#pragma once

#include "core/base/fields.h"
#include "core/config/precision_names.h"

namespace mbt {

enum class OptimizerType : uint8_t { adam };
template <>
struct EnumNames<OptimizerType> {
  using enum OptimizerType;
  static constexpr EnumName all[] = {{adam, "adam"}};
};

/// exp_avg_dtype and exp_avg_sq_dtype.
enum class MomentDtype : uint8_t { fp32, bf16 };
template <>
struct EnumNames<MomentDtype> {
  using enum MomentDtype;
  static constexpr EnumName all[] = {{fp32, "fp32"}, {bf16, "bf16"}};
  static constexpr EnumName also[] = {{fp32, "float32"}, {fp32, "torch.float32"}, {bf16, "bfloat16"}, {bf16, "torch.bfloat16"}};
};

struct OptimizerConfig {
  OptimizerType optimizer = OptimizerType::adam;
  double lr = 2e-3;
  std::optional<double> min_lr;
  double weight_decay = 0.01;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_eps = 1e-8;
  bool decoupled_weight_decay = true;
  bool use_precision_aware_optimizer = false;
  MomentDtype exp_avg_dtype = MomentDtype::fp32;
  MomentDtype exp_avg_sq_dtype = MomentDtype::fp32;
  double clip_grad = 1.0;
  std::optional<double> grad_norm_skip_threshold;
  bool log_num_zeros_in_grad = false;
  bool use_distributed_optimizer = false;
  bool overlap_param_gather = false;
  // overwritten from mixed_precision
  bool fp16 = false;
  bool bf16 = false;
  WeightDtype params_dtype = WeightDtype::fp32;
  std::optional<Fp8Recipe> fp8_recipe;
  std::optional<double> loss_scale;
  double initial_loss_scale = 4294967296.0;
  double min_loss_scale = 1.0;
  double loss_scale_window = 1000.0;
  int64_t hysteresis = 2;
  bool reuse_grad_buf_for_mxfp8_param_ag = false;

  /// Where decay ends: by default a tenth of lr, so that changing lr alone keeps the schedule's shape.
  double final_lr() const { return min_lr.value_or(lr / 10); }

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.optimizer, FieldInfo{.name = "optimizer", .doc = "Optimizer"});
    v(s.lr, FieldInfo{.name = "lr", .doc = "Highest learning rate", .min = 0, .max = 1e6});
    v(s.min_lr, FieldInfo{.name = "min_lr", .doc = "Learning rate at the end of decay; null: lr / 10", .min = 0, .max = 1e6});
    v(s.weight_decay,
      FieldInfo{.name = "weight_decay", .doc = "On tensors with two or more dimensions, not on norms and biases", .min = 0, .max = 1e6});
    v(s.adam_beta1, FieldInfo{.name = "adam_beta1", .doc = "Decay of the first moment", .min = 0, .max = 1});
    v(s.adam_beta2, FieldInfo{.name = "adam_beta2", .doc = "Decay of the second moment", .min = 0, .max = 1});
    v(s.adam_eps, FieldInfo{.name = "adam_eps", .doc = "Added to the root of the second moment", .min = 0, .max = 1});
    v(s.decoupled_weight_decay, FieldInfo{.name = "decoupled_weight_decay", .doc = "AdamW; false: L2 regularization", .alias = kNoAlias});
    v(s.use_precision_aware_optimizer,
      FieldInfo{.name = "use_precision_aware_optimizer", .doc = "Lets exp_avg_dtype and exp_avg_sq_dtype differ from fp32"});
    v(s.exp_avg_dtype,
      FieldInfo{.name = "exp_avg_dtype", .doc = "How the first moment is kept between steps; bf16 saves 2 bytes a parameter"});
    v(s.exp_avg_sq_dtype, FieldInfo{.name = "exp_avg_sq_dtype",
                                    .doc = "How the second moment is kept between steps; with adam_beta2 close to 1 a bf16 one moves in "
                                           "coarse steps (docs/mixed-precision.md)"});
    v(s.clip_grad, FieldInfo{.name = "clip_grad", .doc = "Largest global gradient norm; 0: no clipping", .min = 0});
    v(s.grad_norm_skip_threshold, FieldInfo{.name = "grad_norm_skip_threshold",
                                            .doc = "Skip steps whose gradient norm is above it; null: never",
                                            .min = 0,
                                            .alias = kNoAlias});
    v(s.log_num_zeros_in_grad, FieldInfo{.name = "log_num_zeros_in_grad", .doc = "Count zero gradients in the log line"});
    v(s.use_distributed_optimizer,
      FieldInfo{.name = "use_distributed_optimizer", .doc = "ZeRO-1: each rank owns a shard of masters and moments"});
    v(s.overlap_param_gather, FieldInfo{.name = "overlap_param_gather", .doc = "Gather parameters during the next forward"});
    v(s.fp16, set_by_recipe("fp16"));
    v(s.bf16, set_by_recipe("bf16"));
    v(s.params_dtype, set_by_recipe("params_dtype"));
    v(s.fp8_recipe, set_by_recipe("fp8_recipe"));
    v(s.loss_scale, set_by_recipe("loss_scale"));
    v(s.initial_loss_scale, set_by_recipe("initial_loss_scale"));
    v(s.min_loss_scale, set_by_recipe("min_loss_scale"));
    v(s.loss_scale_window, set_by_recipe("loss_scale_window"));
    v(s.hysteresis, set_by_recipe("hysteresis"));
    v(s.reuse_grad_buf_for_mxfp8_param_ag, set_by_recipe("reuse_grad_buf_for_mxfp8_param_ag"));
  }
};

}  // namespace mbt

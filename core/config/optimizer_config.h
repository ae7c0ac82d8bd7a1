// Sections "optimizer" and "scheduler".
#pragma once

#include "core/base/fields.h"

namespace mbt {

struct OptimizerConfig {
  std::string optimizer = "adam";
  double lr = 2e-3;
  std::optional<double> min_lr;
  double weight_decay = 0.01;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_eps = 1e-8;
  bool decoupled_weight_decay = true;
  bool use_precision_aware_optimizer = false;
  std::string exp_avg_dtype = "fp32";
  std::string exp_avg_sq_dtype = "fp32";
  double clip_grad = 1.0;
  std::optional<double> grad_norm_skip_threshold;
  bool log_num_zeros_in_grad = false;
  bool use_distributed_optimizer = false;
  bool overlap_param_gather = false;
  // overwritten from mixed_precision
  bool fp16 = false;
  bool bf16 = false;
  std::string params_dtype = "fp32";
  std::optional<std::string> fp8_recipe;
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
    v(s.optimizer, FieldInfo{.name = "optimizer", .doc = "Optimizer", .choices = {"adam"}, .alias = "optimizer"});
    v(s.lr, FieldInfo{.name = "lr", .doc = "Highest learning rate", .min = 0, .max = 1e6, .alias = "lr"});
    v(s.min_lr,
      FieldInfo{.name = "min_lr", .doc = "Learning rate at the end of decay; null: lr / 10", .min = 0, .max = 1e6, .alias = "min-lr"});
    v(s.weight_decay, FieldInfo{.name = "weight_decay",
                                .doc = "On tensors with two or more dimensions, not on norms and biases",
                                .min = 0,
                                .max = 1e6,
                                .alias = "weight-decay"});
    v(s.adam_beta1, FieldInfo{.name = "adam_beta1", .doc = "Decay of the first moment", .min = 0, .max = 1, .alias = "adam-beta1"});
    v(s.adam_beta2, FieldInfo{.name = "adam_beta2", .doc = "Decay of the second moment", .min = 0, .max = 1, .alias = "adam-beta2"});
    v(s.adam_eps, FieldInfo{.name = "adam_eps", .doc = "Added to the root of the second moment", .min = 0, .max = 1, .alias = "adam-eps"});
    v(s.decoupled_weight_decay, FieldInfo{.name = "decoupled_weight_decay", .doc = "AdamW; false: L2 regularization"});
    v(s.use_precision_aware_optimizer, FieldInfo{.name = "use_precision_aware_optimizer",
                                                 .doc = "Lets exp_avg_dtype and exp_avg_sq_dtype differ from fp32",
                                                 .alias = "use-precision-aware-optimizer"});
    v(s.exp_avg_dtype, FieldInfo{.name = "exp_avg_dtype",
                                 .doc = "How the first moment is kept between steps; bf16 saves 2 bytes a parameter",
                                 .choices = {"fp32", "bf16"},
                                 .alias = "exp-avg-dtype"});
    v(s.exp_avg_sq_dtype, FieldInfo{.name = "exp_avg_sq_dtype",
                                    .doc = "How the second moment is kept between steps; with adam_beta2 close to 1 a bf16 one moves in "
                                           "coarse steps (docs/mixed-precision.md)",
                                    .choices = {"fp32", "bf16"},
                                    .alias = "exp-avg-sq-dtype"});
    v(s.clip_grad, FieldInfo{.name = "clip_grad", .doc = "Largest global gradient norm; 0: no clipping", .min = 0, .alias = "clip-grad"});
    v(s.grad_norm_skip_threshold,
      FieldInfo{.name = "grad_norm_skip_threshold", .doc = "Skip steps whose gradient norm is above it; null: never", .min = 0});
    v(s.log_num_zeros_in_grad,
      FieldInfo{.name = "log_num_zeros_in_grad", .doc = "Count zero gradients in the log line", .alias = "log-num-zeros-in-grad"});
    v(s.use_distributed_optimizer, FieldInfo{.name = "use_distributed_optimizer",
                                             .doc = "ZeRO-1: each rank owns a shard of masters and moments",
                                             .alias = "use-distributed-optimizer"});
    v(s.overlap_param_gather,
      FieldInfo{.name = "overlap_param_gather", .doc = "Gather parameters during the next forward", .alias = "overlap-param-gather"});
    v(s.fp16, FieldInfo{.name = "fp16", .doc = "Set by mixed_precision"});
    v(s.bf16, FieldInfo{.name = "bf16", .doc = "Set by mixed_precision"});
    v(s.params_dtype, FieldInfo{.name = "params_dtype", .doc = "Set by mixed_precision", .choices = {"fp32", "fp16", "bf16"}});
    v(s.fp8_recipe,
      FieldInfo{.name = "fp8_recipe", .doc = "Set by mixed_precision", .choices = {"delayed", "tensorwise", "blockwise", "mxfp8"}});
    v(s.loss_scale,
      FieldInfo{
          .name = "loss_scale", .doc = "Constant loss scale; null: dynamic for fp16, none otherwise", .min = 0, .alias = "loss-scale"});
    v(s.initial_loss_scale,
      FieldInfo{.name = "initial_loss_scale", .doc = "Dynamic loss scale at the start", .min = 1e-30, .alias = "initial-loss-scale"});
    v(s.min_loss_scale,
      FieldInfo{.name = "min_loss_scale", .doc = "Dynamic loss scale never falls below", .min = 1e-30, .alias = "min-loss-scale"});
    v(s.loss_scale_window, FieldInfo{.name = "loss_scale_window",
                                     .doc = "Clean steps before the scale doubles",
                                     .unit = "steps",
                                     .min = 1,
                                     .alias = "loss-scale-window"});
    v(s.hysteresis,
      FieldInfo{.name = "hysteresis", .doc = "Overflows since the last growth before the scale halves", .min = 1, .alias = "hysteresis"});
    v(s.reuse_grad_buf_for_mxfp8_param_ag, FieldInfo{.name = "reuse_grad_buf_for_mxfp8_param_ag", .doc = "Set by mixed_precision"});
  }
};

struct SchedulerConfig {
  std::string lr_decay_style = "linear";
  std::string lr_wsd_decay_style = "exponential";
  std::optional<int64_t> lr_decay_iters;
  std::optional<int64_t> lr_decay_samples;
  std::optional<int64_t> lr_wsd_decay_iters;
  std::optional<int64_t> lr_wsd_decay_samples;
  std::optional<double> lr_warmup_fraction;
  int64_t lr_warmup_iters = 0;
  int64_t lr_warmup_samples = 0;
  double lr_warmup_init = 0.0;
  std::optional<double> start_weight_decay;
  std::optional<double> end_weight_decay;
  std::string weight_decay_incr_style = "constant";
  bool override_opt_param_scheduler = false;
  bool use_checkpoint_opt_param_scheduler = false;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.lr_decay_style, FieldInfo{.name = "lr_decay_style",
                                  .doc = "Shape of the learning rate after warm-up",
                                  .choices = {"constant", "linear", "cosine", "inverse-square-root", "WSD"},
                                  .alias = "lr-decay-style"});
    v(s.lr_wsd_decay_style, FieldInfo{.name = "lr_wsd_decay_style",
                                      .doc = "Shape of the last part of WSD",
                                      .choices = {"linear", "cosine", "exponential", "minus_sqrt"},
                                      .alias = "lr-wsd-decay-style"});
    v(s.lr_decay_iters, FieldInfo{.name = "lr_decay_iters",
                                  .doc = "Iterations to reach min_lr; null: the run's length",
                                  .unit = "iterations",
                                  .min = 1,
                                  .max = 99999999,
                                  .alias = "lr-decay-iters"});
    v(s.lr_decay_samples,
      FieldInfo{
          .name = "lr_decay_samples", .doc = "The same in samples", .unit = "samples", .min = 1, .max = 9e15, .alias = "lr-decay-samples"});
    v(s.lr_wsd_decay_iters, FieldInfo{.name = "lr_wsd_decay_iters",
                                      .doc = "Length of WSD's decay",
                                      .unit = "iterations",
                                      .min = 1,
                                      .max = 99999999,
                                      .alias = "lr-wsd-decay-iters"});
    v(s.lr_wsd_decay_samples, FieldInfo{.name = "lr_wsd_decay_samples",
                                        .doc = "The same in samples",
                                        .unit = "samples",
                                        .min = 1,
                                        .max = 9e15,
                                        .alias = "lr-wsd-decay-samples"});
    v(s.lr_warmup_fraction, FieldInfo{.name = "lr_warmup_fraction",
                                      .doc = "Warm-up as a share of the decay length",
                                      .min = 0,
                                      .max = 1,
                                      .alias = "lr-warmup-fraction"});
    v(s.lr_warmup_iters,
      FieldInfo{.name = "lr_warmup_iters", .doc = "Warm-up", .unit = "iterations", .min = 0, .max = 99999999, .alias = "lr-warmup-iters"});
    v(s.lr_warmup_samples,
      FieldInfo{.name = "lr_warmup_samples", .doc = "Warm-up", .unit = "samples", .min = 0, .max = 9e15, .alias = "lr-warmup-samples"});
    v(s.lr_warmup_init,
      FieldInfo{.name = "lr_warmup_init", .doc = "Learning rate at sample 0 of the warm-up", .min = 0, .alias = "lr-warmup-init"});
    v(s.start_weight_decay, FieldInfo{.name = "start_weight_decay",
                                      .doc = "Weight decay at the start; null: optimizer.weight_decay",
                                      .min = 0,
                                      .alias = "start-weight-decay"});
    v(s.end_weight_decay, FieldInfo{.name = "end_weight_decay",
                                    .doc = "Weight decay at the end; null: optimizer.weight_decay",
                                    .min = 0,
                                    .alias = "end-weight-decay"});
    v(s.weight_decay_incr_style, FieldInfo{.name = "weight_decay_incr_style",
                                           .doc = "Way from start to end",
                                           .choices = {"constant", "linear", "cosine"},
                                           .alias = "weight-decay-incr-style"});
    v(s.override_opt_param_scheduler,
      FieldInfo{.name = "override_opt_param_scheduler", .doc = "On load: this config's schedule, not the checkpoint's"});
    v(s.use_checkpoint_opt_param_scheduler,
      FieldInfo{.name = "use_checkpoint_opt_param_scheduler", .doc = "On load: the checkpoint's schedule"});
  }
};

}  // namespace mbt

// Section "scheduler": learning rate and weight decay over the run.
#pragma once

#include "core/base/fields.h"

namespace mbt {

/// wsd: warm-up, stable, decay.
enum class LrDecayStyle : uint8_t { constant, linear, cosine, inverse_square_root, wsd };
template <>
struct EnumNames<LrDecayStyle> {
  using enum LrDecayStyle;
  static constexpr EnumName all[] = {
      {constant, "constant"}, {linear, "linear"}, {cosine, "cosine"}, {inverse_square_root, "inverse-square-root"}, {wsd, "WSD"}};
};

enum class WsdDecayStyle : uint8_t { linear, cosine, exponential, minus_sqrt };
template <>
struct EnumNames<WsdDecayStyle> {
  using enum WsdDecayStyle;
  static constexpr EnumName all[] = {{linear, "linear"}, {cosine, "cosine"}, {exponential, "exponential"}, {minus_sqrt, "minus_sqrt"}};
};

enum class WeightDecayStyle : uint8_t { constant, linear, cosine };
template <>
struct EnumNames<WeightDecayStyle> {
  using enum WeightDecayStyle;
  static constexpr EnumName all[] = {{constant, "constant"}, {linear, "linear"}, {cosine, "cosine"}};
};

struct SchedulerConfig {
  LrDecayStyle lr_decay_style = LrDecayStyle::linear;
  WsdDecayStyle lr_wsd_decay_style = WsdDecayStyle::exponential;
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
  WeightDecayStyle weight_decay_incr_style = WeightDecayStyle::constant;
  bool override_opt_param_scheduler = false;
  bool use_checkpoint_opt_param_scheduler = false;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.lr_decay_style, FieldInfo{.name = "lr_decay_style", .doc = "Shape of the learning rate after warm-up"});
    v(s.lr_wsd_decay_style, FieldInfo{.name = "lr_wsd_decay_style", .doc = "Shape of WSD's decay"});
    v(s.lr_decay_iters, FieldInfo{.name = "lr_decay_iters",
                                  .doc = "Iterations to reach min_lr; null: the run's length",
                                  .unit = "iterations",
                                  .min = 1,
                                  .max = 99999999});
    v(s.lr_decay_samples, FieldInfo{.name = "lr_decay_samples", .doc = "The same in samples", .unit = "samples", .min = 1, .max = 9e15});
    v(s.lr_wsd_decay_iters,
      FieldInfo{.name = "lr_wsd_decay_iters", .doc = "Length of WSD's decay", .unit = "iterations", .min = 1, .max = 99999999});
    v(s.lr_wsd_decay_samples,
      FieldInfo{.name = "lr_wsd_decay_samples", .doc = "The same in samples", .unit = "samples", .min = 1, .max = 9e15});
    v(s.lr_warmup_fraction, FieldInfo{.name = "lr_warmup_fraction", .doc = "Warm-up as a share of the decay length", .min = 0, .max = 1});
    v(s.lr_warmup_iters, FieldInfo{.name = "lr_warmup_iters", .doc = "Warm-up", .unit = "iterations", .min = 0, .max = 99999999});
    v(s.lr_warmup_samples, FieldInfo{.name = "lr_warmup_samples", .doc = "Warm-up", .unit = "samples", .min = 0, .max = 9e15});
    v(s.lr_warmup_init, FieldInfo{.name = "lr_warmup_init", .doc = "Learning rate at sample 0 of the warm-up", .min = 0});
    v(s.start_weight_decay,
      FieldInfo{.name = "start_weight_decay", .doc = "Weight decay at the start; null: optimizer.weight_decay", .min = 0});
    v(s.end_weight_decay, FieldInfo{.name = "end_weight_decay", .doc = "Weight decay at the end; null: optimizer.weight_decay", .min = 0});
    v(s.weight_decay_incr_style, FieldInfo{.name = "weight_decay_incr_style", .doc = "How weight decay changes from start to end"});
    v(s.override_opt_param_scheduler,
      FieldInfo{.name = "override_opt_param_scheduler", .doc = "On load: ignore the checkpoint's schedule", .alias = kNoAlias});
    v(s.use_checkpoint_opt_param_scheduler,
      FieldInfo{.name = "use_checkpoint_opt_param_scheduler", .doc = "On load: use the checkpoint's schedule", .alias = kNoAlias});
  }
};

}  // namespace mbt

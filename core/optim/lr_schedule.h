// Learning-rate and weight-decay schedules, counted in samples, as Megatron's OptimizerParamScheduler. They advance only when the optimizer
// step succeeded.
#pragma once

#include <string>
#include <vector>

#include "core/config/optimizer_config.h"
#include "core/config/scheduler_config.h"
#include "core/config/train_config.h"

namespace mbt {

/// All lengths in samples. With n = samples so far, in this order of tests:
///   n <= warmup, warmup > 0      lr = init + (max - init) n / warmup
///   constant                     lr = max
///   n > decay                    lr = min
///   inverse-square-root          lr = max(min, max sqrt(max(warmup,1)) / sqrt(max(n,1)))
///   r = (n - warmup) / (decay - warmup):  linear c = 1 - r;  cosine c = (cos(pi r) + 1) / 2
///   WSD: n <= decay - wsd: c = 1; else q = (n - (decay - wsd)) / wsd:  linear 1 - q, cosine (cos(pi q) + 1)/2,
///        exponential 2 * 0.5^q - 1, minus_sqrt 1 - sqrt(q)
///   lr = min + c (max - min)
/// A warm-up that is a share of the decay is not rounded to whole samples. Weight decay on its own clock u = n / wd_increment: constant,
/// linear, cosine from start to end; n > wd_increment: end.
class LrSchedule {
 public:
  /// `iterations`: length of the run. Warm-up not shorter than the decay is cut to decay - 1 with a line in notes().
  LrSchedule(const OptimizerConfig& optimizer, const SchedulerConfig& scheduler, const TrainConfig& train);

  double lr(int64_t samples) const;
  double weight_decay(int64_t samples) const;
  const std::vector<std::string>& notes() const { return notes_; }
  /// Not whole where it is a share of the decay.
  double warmup_samples() const { return warmup_; }
  int64_t decay_samples() const { return decay_; }

 private:
  double decay_coefficient(int64_t samples) const;

  LrDecayStyle style_;
  WsdDecayStyle wsd_style_;
  WeightDecayStyle wd_style_;
  double max_lr_, min_lr_, init_lr_, start_wd_, end_wd_;
  double warmup_ = 0.0;
  int64_t decay_ = 0, wsd_decay_ = 0, wd_increment_ = 0;
  std::vector<std::string> notes_;
};

}  // namespace mbt

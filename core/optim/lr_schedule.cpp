#include "core/optim/lr_schedule.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

constexpr double kPi = 3.141592653589793;

int64_t samples_of(const std::optional<int64_t>& iters, const std::optional<int64_t>& samples, int64_t global_batch, int64_t otherwise) {
  if (samples) return *samples;
  return iters ? *iters * global_batch : otherwise;
}

double wsd_coefficient(WsdDecayStyle style, double q) {
  switch (style) {
    case WsdDecayStyle::linear: return 1.0 - q;
    case WsdDecayStyle::cosine: return 0.5 * (std::cos(kPi * q) + 1.0);
    case WsdDecayStyle::minus_sqrt: return 1.0 - std::sqrt(q);
    case WsdDecayStyle::exponential: break;
  }
  return 2.0 * std::pow(0.5, q) - 1.0;
}

}  // namespace

LrSchedule::LrSchedule(const OptimizerConfig& optimizer, const SchedulerConfig& s, const TrainConfig& train)
    : style_(s.lr_decay_style),
      wsd_style_(s.lr_wsd_decay_style),
      wd_style_(s.weight_decay_incr_style),
      max_lr_(optimizer.lr),
      min_lr_(optimizer.final_lr()),
      init_lr_(s.lr_warmup_init),
      start_wd_(s.start_weight_decay.value_or(optimizer.weight_decay)),
      end_wd_(s.end_weight_decay.value_or(optimizer.weight_decay)) {
  const int64_t batch = train.global_batch_size, length = train.schedule_samples();
  decay_ = samples_of(s.lr_decay_iters, s.lr_decay_samples, batch, length);
  wsd_decay_ = samples_of(s.lr_wsd_decay_iters, s.lr_wsd_decay_samples, batch, 0);
  wd_increment_ = length;
  if (s.lr_warmup_fraction) warmup_ = *s.lr_warmup_fraction * static_cast<double>(decay_);
  else warmup_ = static_cast<double>(s.lr_warmup_samples > 0 ? s.lr_warmup_samples : s.lr_warmup_iters * batch);
  if (warmup_ > 0 && warmup_ >= static_cast<double>(decay_)) {
    notes_.push_back(
        fmt::format("warm-up of {} samples is not shorter than the decay of {}; cut to {}", to_text(warmup_), decay_, decay_ - 1));
    warmup_ = static_cast<double>(decay_ - 1);
  }
}

double LrSchedule::decay_coefficient(int64_t samples) const {
  const auto n = static_cast<double>(samples), w = warmup_, d = static_cast<double>(decay_);
  if (style_ == LrDecayStyle::wsd) {
    const double start = d - static_cast<double>(wsd_decay_);
    return n <= start ? 1.0 : wsd_coefficient(wsd_style_, (n - start) / static_cast<double>(wsd_decay_));
  }
  const double r = (n - w) / (d - w);
  return style_ == LrDecayStyle::cosine ? 0.5 * (std::cos(kPi * r) + 1.0) : 1.0 - r;
}

double LrSchedule::lr(int64_t samples) const {
  const auto n = static_cast<double>(samples), w = warmup_;
  if (w > 0 && n <= w) return init_lr_ + (max_lr_ - init_lr_) * n / w;
  if (style_ == LrDecayStyle::constant) return max_lr_;
  if (samples > decay_) return min_lr_;
  if (style_ == LrDecayStyle::inverse_square_root) {
    return std::max(min_lr_, max_lr_ * std::sqrt(std::max(w, 1.0)) / std::sqrt(std::max(n, 1.0)));
  }
  return min_lr_ + decay_coefficient(samples) * (max_lr_ - min_lr_);
}

double LrSchedule::weight_decay(int64_t samples) const {
  if (wd_style_ == WeightDecayStyle::constant || samples > wd_increment_) return end_wd_;
  const double u = static_cast<double>(samples) / static_cast<double>(wd_increment_);
  if (wd_style_ == WeightDecayStyle::linear) return start_wd_ + u * (end_wd_ - start_wd_);
  return start_wd_ + 0.5 * (std::cos(kPi * (1.0 - u)) + 1.0) * (end_wd_ - start_wd_);
}

}  // namespace mbt

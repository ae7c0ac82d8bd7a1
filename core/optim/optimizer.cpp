#include "core/optim/optimizer.h"

#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/backend/range.h"

namespace mbt {

MomentTypes moment_types(const OptimizerConfig& config) {
  const auto of = [](MomentDtype kept) { return kept == MomentDtype::bf16 ? DType::bf16 : DType::f32; };
  return {.exp_avg = of(config.exp_avg_dtype), .exp_avg_sq = of(config.exp_avg_sq_dtype)};
}

Optimizer::Optimizer(Backend& backend, const OptimizerConfig& config, Weights& weights, DataParallel* parallel)
    : backend_(backend), config_(config), weights_(weights), parallel_(parallel), scalars_(backend, 8 * sizeof(double)) {
  auto* base = static_cast<char*>(scalars_.data());
  squared_norm_ = {base, DType::f64, {1}};
  report_ = {base + 8, DType::f64, {4}};
  non_finite_ = {base + 40, DType::i32, {1}};
  skip_ = {base + 44, DType::i32, {1}};
  grad_scale_ = {base + 48, DType::f32, {1}};
}

StepOutcome Optimizer::step(LossScaler& scaler, double lr, double weight_decay, bool skip_non_finite, const LossGuard& loss,
                            double grad_factor) {
  const Range range(backend_, "optimizer");
  const auto inverse_scale = static_cast<float>(grad_factor * static_cast<double>(scaler.inverse_scale()));
  measure_gradients(loss, inverse_scale);
  backend_.clip_scale({.squared_norm = squared_norm_,
                       .scale = grad_scale_,
                       .max_norm = static_cast<float>(config_.clip_grad),
                       .inverse_scale = inverse_scale});
  backend_.decide_step({.squared_norm = squared_norm_,
                        .non_finite = non_finite_,
                        .skip = skip_,
                        .report = report_,
                        .loss_sum = loss.sum,
                        .skip_non_finite = skip_non_finite || scaler.checks_gradients(),
                        .skip_non_finite_loss = loss.skip_non_finite,
                        .max_norm = config_.grad_norm_skip_threshold.value_or(std::numeric_limits<double>::infinity())});
  update(lr, weight_decay, updates_ + 1);
  if (!weights_.sharding().is_sharded()) weights_.renew_codes();

  std::array<double, 4> report{};
  backend_.download(report_, report.data());
  const StepOutcome outcome{
      .loss_sum = report[0], .grad_norm = std::sqrt(report[1]), .is_finite = report[2] == 0.0, .was_skipped = report[3] != 0.0};
  scaler.update(!outcome.is_finite && scaler.checks_gradients());
  if (!outcome.was_skipped) ++updates_;
  return outcome;
}

/// Of this rank's pieces of the buckets, then of all ranks: with and without a sharded optimizer the same sums.
void Optimizer::measure_gradients(const LossGuard& loss, float inverse_scale) {
  const std::vector<ElementRange> whole{{0, weights_.params().flat_size}};
  bool accumulate = false;
  for (const ElementRange& range : parallel_ ? parallel_->norm_ranges() : whole) {
    backend_.grad_norm({.grad = slice_of(weights_.grad(), range),
                        .squared_norm = squared_norm_,
                        .non_finite = non_finite_,
                        .inverse_scale = inverse_scale,
                        .accumulate = std::exchange(accumulate, true)});
  }
  if (parallel_) parallel_->add_up(squared_norm_, non_finite_, loss.sum);
}

/// The t-th update of what is held here, unless skip_ says otherwise.
void Optimizer::update(double lr, double weight_decay, int64_t t) {
  const auto power = static_cast<double>(t);
  for (int64_t i = 0; i < weights_.num_params(); ++i) {
    if (weights_.held(i).count == 0) continue;
    auto part = [&](const TensorView& buffer) { return weights_.held_part(buffer, i); };
    const TensorView working = weights_.held_working(i);
    const bool has_copy = !working.empty() && working.data != part(weights_.master()).data;
    backend_.adamw({.master = part(weights_.master()),
                    .exp_avg = part(weights_.exp_avg()),
                    .exp_avg_sq = part(weights_.exp_avg_sq()),
                    .grad = part(weights_.grad()),
                    .lr = static_cast<float>(lr),
                    .beta1 = static_cast<float>(config_.adam_beta1),
                    .beta2 = static_cast<float>(config_.adam_beta2),
                    .eps = static_cast<float>(config_.adam_eps),
                    .weight_decay = weights_.spec(i).decays() ? static_cast<float>(weight_decay) : 0.0f,
                    .bias_correction1 = static_cast<float>(1.0 - std::pow(config_.adam_beta1, power)),
                    .bias_correction2 = static_cast<float>(1.0 - std::pow(config_.adam_beta2, power)),
                    .grad_scale = grad_scale_,
                    .param = has_copy ? working : TensorView{},
                    .skip = skip_,
                    .decoupled = config_.decoupled_weight_decay});
  }
}

}  // namespace mbt

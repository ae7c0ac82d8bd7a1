#include "core/optim/optimizer.h"

#include <cmath>

namespace mbt {

MomentTypes moment_types(const OptimizerConfig& config) {
  const auto named = [](const std::string& name) { return name == "bf16" ? DType::bf16 : DType::f32; };
  return {.exp_avg = named(config.exp_avg_dtype), .exp_avg_sq = named(config.exp_avg_sq_dtype)};
}

Optimizer::Optimizer(Backend& backend, const OptimizerConfig& config, Weights& weights)
    : backend_(backend), config_(config), weights_(weights), scalars_(backend, 3 * sizeof(double)) {
  auto* base = static_cast<char*>(scalars_.data());
  squared_norm_ = {base, DType::f64, {1}};
  non_finite_ = {base + 8, DType::i32, {1}};
  grad_scale_ = {base + 16, DType::f32, {1}};
}

StepOutcome Optimizer::step(LossScaler& scaler, double lr, double weight_decay, bool skip_non_finite) {
  const float inverse_scale = scaler.inverse_scale();
  backend_.grad_norm({.grad = weights_.grad(), .squared_norm = squared_norm_, .non_finite = non_finite_, .inverse_scale = inverse_scale});
  backend_.clip_scale({.squared_norm = squared_norm_,
                       .scale = grad_scale_,
                       .max_norm = static_cast<float>(config_.clip_grad),
                       .inverse_scale = inverse_scale});
  double squared_norm = 0.0;
  int32_t non_finite = 0;
  backend_.download(squared_norm_, &squared_norm);
  backend_.download(non_finite_, &non_finite);

  StepOutcome outcome;
  outcome.grad_norm = std::sqrt(squared_norm);
  outcome.is_finite = non_finite == 0;
  const bool overflow = !outcome.is_finite && scaler.checks_gradients();
  scaler.update(overflow);
  const bool is_spike = config_.grad_norm_skip_threshold && outcome.grad_norm > *config_.grad_norm_skip_threshold;
  outcome.was_skipped = overflow || is_spike || (skip_non_finite && !outcome.is_finite);
  if (!outcome.was_skipped) update(lr, weight_decay);
  weights_.renew_codes();
  return outcome;
}

void Optimizer::update(double lr, double weight_decay) {
  ++updates_;
  const auto t = static_cast<double>(updates_);
  for (int64_t i = 0; i < weights_.num_params(); ++i) {
    const Shape flat{weights_.spec(i).shape.size()};
    auto part = [&](const TensorView& buffer) { return weights_.part(buffer, i).reshaped(flat); };
    const TensorView working = weights_.working(i);
    const bool has_copy = !working.empty() && working.data != weights_.part(weights_.master(), i).data;
    backend_.adamw({.master = part(weights_.master()),
                    .exp_avg = part(weights_.exp_avg()),
                    .exp_avg_sq = part(weights_.exp_avg_sq()),
                    .grad = part(weights_.grad()),
                    .lr = static_cast<float>(lr),
                    .beta1 = static_cast<float>(config_.adam_beta1),
                    .beta2 = static_cast<float>(config_.adam_beta2),
                    .eps = static_cast<float>(config_.adam_eps),
                    .weight_decay = weights_.spec(i).decays() ? static_cast<float>(weight_decay) : 0.0f,
                    .bias_correction1 = static_cast<float>(1.0 - std::pow(config_.adam_beta1, t)),
                    .bias_correction2 = static_cast<float>(1.0 - std::pow(config_.adam_beta2, t)),
                    .grad_scale = grad_scale_,
                    .param = has_copy ? working.reshaped(flat) : TensorView{},
                    .decoupled = config_.decoupled_weight_decay});
  }
}

}  // namespace mbt

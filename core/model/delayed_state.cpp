#include "core/model/delayed_state.h"

namespace mbt {
namespace {

constexpr int64_t kColumnsPerLinear = 3;  // input, weight, grad_output
constexpr int64_t kLinears = 4;

}  // namespace

DelayedStatePlan plan_delayed_state(ArenaPlan& arena, const PrecisionPolicy& policy) {
  DelayedStatePlan plan;
  if (!policy.is_delayed) return plan;
  for (const LinearPrecision& layer : policy.layers) {
    plan.first_column.push_back(layer.is_quantized() ? plan.num_columns : -1);
    if (!layer.is_quantized()) continue;
    for (int64_t i = 0; i < kLinears; ++i) {
      for (const auto& spec : {layer.input, layer.weight, layer.grad_output}) plan.fp8_max.push_back(max_of(spec->format));
    }
    plan.num_columns += kLinears * kColumnsPerLinear;
  }
  plan.history = arena.add(MemoryCategory::quantized_weights, DType::f32, {policy.amax_history_len, plan.num_columns});
  plan.scale = arena.add(MemoryCategory::quantized_weights, DType::f32, {plan.num_columns});
  plan.max = arena.add(MemoryCategory::quantized_weights, DType::f32, {plan.num_columns});
  return plan;
}

DelayedState::DelayedState(Backend& backend, const PrecisionPolicy& policy, const DelayedStatePlan& plan, const ArenaPlan& arena,
                           void* base)
    : plan_(plan), margin_(policy.margin), algorithm_(policy.amax_algorithm) {
  if (plan.num_columns == 0) return;
  history_ = arena.bind(base, plan.history);
  scale_ = arena.bind(base, plan.scale);
  fp8_max_ = arena.bind(base, plan.max);
  const std::vector<float> ones(static_cast<size_t>(plan.num_columns), 1.0f);
  backend.upload(ones.data(), scale_);
  backend.upload(plan.fp8_max.data(), fp8_max_);
}

void DelayedState::attach(QuantTensorView& q, int64_t layer, LinearKind linear, TensorRole role) const {
  if (q.empty() || q.spec.scaling != QuantScaling::delayed) return;
  const int64_t column =
      plan_.first_column[static_cast<size_t>(layer)] + kColumnsPerLinear * static_cast<int64_t>(linear) + static_cast<int64_t>(role);
  q.scale = static_cast<const float*>(scale_.data) + column;
  q.amax = static_cast<float*>(history_.data) + column;  // row 0 is the staging slot
}

void DelayedState::update(Backend& backend) const {
  if (empty()) return;
  backend.delayed_scaling_update({.history = history_, .scale = scale_, .fp8_max = fp8_max_, .margin = margin_, .algorithm = algorithm_});
}

}  // namespace mbt

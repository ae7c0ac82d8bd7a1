#include "core/model/weights.h"

namespace mbt {
namespace {

bool is_quantised_weight(const ParamSpec& s, const PrecisionPolicy& policy) {
  return s.kind == ParamKind::linear && policy.linear(s.layer, s.linear).is_quantised();
}

}  // namespace

WeightsPlan plan_weights(const ModelConfig& model, const PrecisionPolicy& policy, bool with_training, const TransposedQuery& wants_transposed,
                         MomentTypes moments) {
  WeightsPlan plan;
  plan.params = list_params(model);
  ArenaPlan& arena = plan.arena;
  const Shape flat{plan.params.flat_size};
  plan.master = arena.add(MemoryCategory::masters, DType::f32, flat);
  if (with_training) {
    plan.exp_avg = arena.add(MemoryCategory::moments, moments.exp_avg, flat);
    plan.exp_avg_sq = arena.add(MemoryCategory::moments, moments.exp_avg_sq, flat);
    plan.grad = arena.add(MemoryCategory::gradients, DType::f32, flat);
  }
  for (const ParamSpec& s : plan.params.specs) {
    const bool is_quantised = is_quantised_weight(s, policy);
    const bool needs_working = policy.act != DType::f32 && !(is_quantised && policy.quantised_params);
    plan.working.push_back(needs_working ? arena.add(MemoryCategory::weights, policy.act, s.shape) : TensorSlot{});
    plan.quantised.push_back(QuantSlots{});
    if (!is_quantised) continue;
    const QuantSpec& spec = *policy.linear(s.layer, s.linear).weight;
    plan.quantised.back() = plan_quantised(arena, MemoryCategory::quantised_weights, spec, s.shape[0], s.shape[1],
                                           {.columnwise = with_training, .columnwise_is_transposed = with_training && wants_transposed(spec)});
  }
  plan.delayed = plan_delayed_state(arena, policy);
  return plan;
}

Weights::Weights(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, bool with_training, MomentTypes moments)
    : backend_(backend), policy_(policy), plan_(plan_weights(model, policy, with_training, transposed_query(backend), moments)) {
  memory_ = Buffer(backend, static_cast<size_t>(plan_.arena.total_bytes()));
  void* base = memory_.data();
  auto bind = [&](TensorSlot s) { return plan_.arena.bind(base, s); };
  master_ = bind(plan_.master);
  exp_avg_ = bind(plan_.exp_avg);
  exp_avg_sq_ = bind(plan_.exp_avg_sq);
  grad_ = bind(plan_.grad);
  delayed_ = DelayedState(backend, policy, plan_.delayed, plan_.arena, base);
  for (int64_t i = 0; i < num_params(); ++i) {
    const auto at = static_cast<size_t>(i);
    working_.push_back(policy.act == DType::f32 ? part(master_, i) : bind(plan_.working[at]));
    quantised_.push_back(bind_quantised(plan_.arena, base, plan_.quantised[at]));
    delayed_.attach(quantised_.back(), spec(i).layer, spec(i).linear, TensorRole::weight);
  }
}

TensorView Weights::part(const TensorView& flat, int64_t i) const {
  if (flat.empty()) return {};
  const ParamSpec& s = spec(i);
  return {static_cast<char*>(flat.data) + s.offset * size_of(flat.dtype), flat.dtype, s.shape};
}

void Weights::set_master(int64_t i, const std::vector<float>& values) {
  MBT_CHECK(static_cast<int64_t>(values.size()) == spec(i).shape.size(), spec(i).name, ": ", values.size(), " values");
  backend_.upload(values.data(), part(master_, i));
}

std::vector<float> Weights::get(const TensorView& flat, int64_t i) const {
  const TensorView p = part(flat, i);
  MBT_CHECK(p.dtype == DType::f32, spec(i).name, ": ", p.str(), " is not f32");
  std::vector<float> values(static_cast<size_t>(p.size()));
  backend_.download(p, values.data());
  return values;
}

void Weights::refresh_working() {
  for (int64_t i = 0; i < num_params(); ++i) {
    if (policy_.act != DType::f32 && !working(i).empty()) backend_.cast({.src = part(master_, i), .dst = working(i)});
  }
  renew_codes();
}

void Weights::renew_codes() {
  if (keeps_codes_only()) requantise_from_masters();
  codes_are_stale_ = true;
}

void Weights::requantise_from_masters() {
  for (int64_t i = 0; i < num_params(); ++i) {
    if (!quantised(i).empty()) backend_.quantize({.x = part(master_, i), .to = {.q = quantised(i)}, .round_to = policy_.act});
  }
}

void Weights::quantise_working() {
  if (keeps_codes_only()) return;
  for (int64_t i = 0; i < num_params(); ++i) {
    if (!quantised(i).empty()) backend_.quantize({.x = working(i), .to = {.q = quantised(i)}});
  }
  codes_are_stale_ = false;
}

}  // namespace mbt

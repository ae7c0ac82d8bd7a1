#include "core/parallel/code_exchange.h"

namespace mbt {
namespace {

int64_t amaxes_of(const QuantSpec& spec, const Shape& shape) {
  return spec.scaling == QuantScaling::mxfp8 ? 0 : shard_amax_size(spec, shape[0], shape[1]);
}

/// A slice may be empty, but not without a shape.
ConstTensorView or_nothing(const TensorView& slice) {
  return slice.empty() ? ConstTensorView(nullptr, DType::f32, {0}) : ConstTensorView(slice);
}

}  // namespace

int64_t CodeExchange::amax_bytes(const WeightsPlan& plan) {
  int64_t count = 0;
  for (size_t i = 0; i < plan.params.specs.size(); ++i)
    if (plan.params.specs[i].is_codes_only) count += amaxes_of(plan.quantized[i].spec, plan.params.specs[i].shape);
  return count * 4;
}

CodeExchange::CodeExchange(Backend& backend, Collectives& collectives, DType act, Weights& weights)
    : backend_(backend), collectives_(collectives), act_(act), weights_(weights) {
  int64_t count = 0;
  for (int64_t i = 0; i < weights.num_params(); ++i) {
    const ParamSpec& s = weights.spec(i);
    amaxes_of_.push_back({count, 0});
    if (!s.is_codes_only) continue;
    const QuantSpec& spec = weights.quantized(i).spec;
    amaxes_of_.back().count = amaxes_of(spec, s.shape);
    count += amaxes_of_.back().count;
    travels_in_gradients_ |= spec.scaling == QuantScaling::mxfp8;
  }
  if (count == 0) return;
  memory_ = Buffer(backend, static_cast<size_t>(count) * 4);
  amaxes_ = {memory_.data(), DType::f32, {count}};
}

TensorView CodeExchange::traveling(const Bucket& bucket) const {
  if (!travels_in_gradients_)
    return weights_.codes_buffer().element_range(bucket.elements.first - weights_.params().plain_size, bucket.elements.count);
  return {slice_of(weights_.grad(), bucket.elements).data, act_, {bucket.elements.count}};  // the first half
}

void CodeExchange::prepare() {
  if (travels_in_gradients_) return round_into_gradients();
  agree_on_amaxes();
  for (int64_t i = 0; i < weights_.num_params(); ++i) {
    if (!weights_.spec(i).is_codes_only) continue;
    const Amaxes& a = amaxes_of_[static_cast<size_t>(i)];
    backend_.quantize_shard({.x = or_nothing(weights_.held_part(weights_.master(), i)),
                             .first = weights_.held(i).first,
                             .q = weights_.quantized(i),
                             .amax = a.count > 0 ? amaxes_.element_range(a.first, a.count) : TensorView{},
                             .round_to = act_});
  }
}

void CodeExchange::agree_on_amaxes() {
  if (amaxes_.empty()) return;  // delayed: scales are known before the cast
  for (int64_t i = 0; i < weights_.num_params(); ++i) {
    const ParamSpec& s = weights_.spec(i);
    const Amaxes& a = amaxes_of_[static_cast<size_t>(i)];
    if (a.count == 0) continue;
    backend_.shard_amax({.x = or_nothing(weights_.held_part(weights_.master(), i)),
                         .first = weights_.held(i).first,
                         .rows = s.shape[0],
                         .cols = s.shape[1],
                         .spec = weights_.quantized(i).spec,
                         .amax = amaxes_.element_range(a.first, a.count),
                         .round_to = act_});
  }
  collectives_.wait(collectives_.all_reduce({.t = amaxes_, .op = ReduceOp::max}));
}

void CodeExchange::round_into_gradients() {
  for (const Bucket& bucket : weights_.params().buckets) {
    if (!bucket.holds_codes) continue;
    const TensorView bits = traveling(bucket);
    for (int64_t i = bucket.first_param; i < bucket.end_param; ++i) {
      const TensorView master = weights_.held_part(weights_.master(), i);
      if (!weights_.spec(i).is_codes_only || master.empty()) continue;
      const int64_t first = weights_.spec(i).offset - bucket.elements.first + weights_.held(i).first;
      backend_.cast({.src = master, .dst = bits.element_range(first, master.size())});
    }
  }
}

void CodeExchange::complete(const Bucket& bucket) {
  const TensorView bits = travels_in_gradients_ ? traveling(bucket) : TensorView{};
  for (int64_t i = bucket.first_param; i < bucket.end_param; ++i) {
    const ParamSpec& s = weights_.spec(i);
    if (!s.is_codes_only) continue;
    if (!travels_in_gradients_) {
      backend_.complete_copies({.q = weights_.quantized(i)});
      continue;
    }
    const TensorView whole = bits.element_range(s.offset - bucket.elements.first, s.shape.size()).reshaped(s.shape);
    backend_.quantize({.x = whole, .to = {.q = weights_.quantized(i)}});
  }
  if (travels_in_gradients_) backend_.fill_zero(slice_of(weights_.grad(), bucket.elements));
}

}  // namespace mbt

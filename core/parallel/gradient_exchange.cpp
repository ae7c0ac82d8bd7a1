#include "core/parallel/gradient_exchange.h"

#include "core/backend/range.h"

namespace mbt {
int64_t GradientExchange::transport_bytes(const ParamList& params, DType transport) {
  return transport == DType::f32 ? 0 : params.flat_size * size_of(transport);
}

GradientExchange::GradientExchange(Backend& backend, Collectives& collectives, const DdpConfig& ddp, DType transport, Weights& weights)
    : backend_(backend),
      collectives_(collectives),
      weights_(weights),
      transport_(transport),
      factor_(ddp.average_in_collective ? 1.0f / static_cast<float>(collectives.ranks()) : 1.0f),
      with_f32_sums_(ddp.reduce_scatter_with_fp32_accumulation),
      buffer_(weights.grad()) {
  if (transport == DType::f32) return;
  transport_memory_ = Buffer(backend, static_cast<size_t>(transport_bytes(weights.params(), transport)));
  buffer_ = {transport_memory_.data(), transport, {weights.params().flat_size}};
}

void GradientExchange::launch_down_to(int64_t unit) {
  const std::vector<Bucket>& buckets = weights_.params().buckets;
  // In one order on every rank. Of two kinds of buckets, one may have to wait a little for the other.
  for (; launched_ < buckets.size(); ++launched_) {
    const Bucket& next = buckets[buckets.size() - 1 - launched_];
    if (next.first_unit < unit) return;
    launch(next);
  }
}

void GradientExchange::launch(const Bucket& bucket) {
  const TensorView sent = slice_of(buffer_, bucket.elements);
  const ElementRange piece = bucket.piece(collectives_.rank(), collectives_.ranks());
  if (transport_ != DType::f32) backend_.cast({.src = slice_of(weights_.grad(), bucket.elements), .dst = sent});
  last_ = collectives_.reduce_scatter({.in = sent, .out = slice_of(buffer_, piece), .factor = factor_, .with_f32_sums = with_f32_sums_});
  if (!weights_.sharding().is_sharded()) last_ = collectives_.all_gather({.in = slice_of(buffer_, piece), .out = sent});
}

void GradientExchange::finish() {
  const Range range(backend_, "gradient exchange");
  launch_down_to(0);
  launched_ = 0;
  collectives_.wait(last_);
  if (transport_ == DType::f32) return;
  if (!weights_.sharding().is_sharded()) return backend_.cast({.src = buffer_, .dst = weights_.grad()});
  for (const Bucket& bucket : weights_.params().buckets) {
    const ElementRange piece = bucket.piece(collectives_.rank(), collectives_.ranks());
    backend_.cast({.src = slice_of(buffer_, piece), .dst = slice_of(weights_.grad(), piece)});
  }
}

}  // namespace mbt

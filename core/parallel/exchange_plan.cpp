#include "core/parallel/exchange_plan.h"

#include <algorithm>
#include <cmath>

namespace mbt {

ExchangePlan plan_exchange(const WeightsPlan& weights, const PrecisionPolicy& policy) {
  const ParamList& params = weights.params;
  ExchangePlan plan;
  if (params.sharding.ranks == 1) return plan;
  plan.buckets = static_cast<int64_t>(params.buckets.size());
  plan.reduce_scatter_bytes = params.flat_size * size_of(policy.grad_reduce);
  plan.all_gather_bytes = plan.reduce_scatter_bytes;
  if (!params.sharding.is_sharded()) return plan;
  bool in_16_bits = false;
  for (const QuantSlots& q : weights.quantized) in_16_bits |= !q.empty() && q.spec.scaling == QuantScaling::mxfp8;
  const int64_t code_bytes = in_16_bits ? 2 : 1;
  plan.all_gather_bytes = params.plain_size * size_of(policy.act) + (params.flat_size - params.plain_size) * code_bytes;
  return plan;
}

double LinkModel::seconds(double bytes, int64_t ranks) const {
  if (ranks == 1) return 0.0;
  const auto n = static_cast<double>(ranks);
  return latency_s * std::log2(n) + bytes * (n - 1) / n / bytes_per_s;
}

LinkModel fit_link(double small_bytes, double small_s, double large_bytes, double large_s, int64_t ranks) {
  const auto n = static_cast<double>(ranks);
  MBT_CHECK(ranks > 1 && large_bytes > small_bytes, "{} ranks, {:g} and {:g} bytes", ranks, small_bytes, large_bytes);
  const double per_byte = std::max(large_s - small_s, 1e-12) / (large_bytes - small_bytes);
  const double latency =
      std::max(small_s - small_bytes * per_byte, small_s / 2);  // a small one is latency for the most part, whatever noise says
  return {.latency_s = latency / std::log2(n), .bytes_per_s = (n - 1) / n / per_byte};
}

ScaledStep model_step(const StepParts& parts, const ExchangePlan& exchange, const LinkModel& link, OverlapChoice overlap, int64_t ranks) {
  const double compute = parts.micro_batch_s * static_cast<double>(parts.micro_batches);
  const double reduce = link.seconds(static_cast<double>(exchange.reduce_scatter_bytes), ranks);
  const double gather = link.seconds(static_cast<double>(exchange.all_gather_bytes), ranks);
  const double hides_reduce = overlap.gradients ? parts.micro_batch_s * parts.backward_share : 0.0;
  const double hides_gather = overlap.params ? parts.micro_batch_s * (1.0 - parts.backward_share) : 0.0;
  const double optimizer = overlap.shards_optimizer ? parts.optimizer_s / static_cast<double>(ranks) : parts.optimizer_s;
  ScaledStep s{.ranks = ranks, .exchange_s = reduce + gather};
  s.waiting_s = std::max(reduce - hides_reduce, 0.0) + std::max(gather - hides_gather, 0.0);
  s.seconds = compute + optimizer + s.waiting_s;
  s.efficiency = (compute + parts.optimizer_s) / s.seconds;
  return s;
}

}  // namespace mbt

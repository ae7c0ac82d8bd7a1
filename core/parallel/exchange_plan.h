// What a step sends between ranks: arithmetic on the layout of parameters.
#pragma once

#include <cstdint>

#include "core/model/weights.h"

namespace mbt {

/// Of one step. Each rank sends and receives (ranks - 1) / ranks of the bytes.
struct ExchangePlan {
  int64_t buckets = 0;
  int64_t reduce_scatter_bytes = 0;  ///< gradients, all of them
  int64_t all_gather_bytes = 0;      ///< updated parameters; without a sharded optimizer the summed gradients
};
ExchangePlan plan_exchange(const WeightsPlan& weights, const PrecisionPolicy& policy);

/// A collective of `bytes` over n ranks takes latency_s * log2(n) + bytes * (n - 1) / n / bytes_per_s.
struct LinkModel {
  double latency_s = 0.0;
  double bytes_per_s = 0.0;
  double seconds(double bytes, int64_t ranks) const;
};
/// The line through two measured collectives of n ranks, one small and one large.
LinkModel fit_link(double small_bytes, double small_s, double large_bytes, double large_s, int64_t ranks);

/// The measured parts of a step on one rank.
struct StepParts {
  double micro_batch_s = 0.0;  ///< forward and backward of one
  int64_t micro_batches = 1;
  double optimizer_s = 0.0;         ///< of all parameters
  double backward_share = 2.0 / 3;  ///< of a micro-batch
};

/// A MODEL, not a measurement, of a step at `ranks` ranks with the same work per rank (the global batch grows with the ranks). With
/// overlap, gradients are sent during the last backward and parameters are received during the first forward; a step waits only for the
/// rest. The model assumes that every rank and link is as fast as the measured one. It ignores stragglers, contention and the exchange's
/// memory traffic.
struct ScaledStep {
  int64_t ranks = 1;
  double seconds = 0.0;
  double exchange_s = 0.0;  ///< both collectives
  double waiting_s = 0.0;   ///< of them, what is not hidden
  double efficiency = 1.0;  ///< tokens/s of one rank, relative to a run with one rank
};
struct OverlapChoice {
  bool gradients = false, params = false, shards_optimizer = false;
};
ScaledStep model_step(const StepParts& parts, const ExchangePlan& exchange, const LinkModel& link, OverlapChoice overlap, int64_t ranks);

}  // namespace mbt

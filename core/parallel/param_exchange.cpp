#include "core/parallel/param_exchange.h"

#include <algorithm>

#include "core/backend/range.h"

namespace mbt {
ParamExchange::ParamExchange(Backend& backend, Collectives& collectives, DType act, Weights& weights)
    : backend_(backend), collectives_(collectives), weights_(weights), codes_(backend, collectives, act, weights) {
  for (const Bucket& b : weights.params().buckets) buckets_.push_back({b, 0});
  std::stable_sort(buckets_.begin(), buckets_.end(),
                   [](const Traveling& a, const Traveling& b) { return a.bucket.first_unit < b.bucket.first_unit; });
  arrived_ = buckets_.size();
  for (const Bucket& b : weights.params().buckets) last_unit_ = std::max(last_unit_, b.last_unit);
}

void ParamExchange::launch() {
  const Range range(backend_, "parameter exchange");
  codes_.prepare();
  const int64_t rank = collectives_.rank(), ranks = collectives_.ranks();
  for (Traveling& t : buckets_) {
    const TensorView whole = t.bucket.holds_codes ? codes_.traveling(t.bucket) : slice_of(weights_.working_buffer(), t.bucket.elements);
    const int64_t n = t.bucket.elements.count / ranks;
    t.ticket = collectives_.all_gather({.in = whole.element_range(rank * n, n), .out = whole});
  }
  arrived_ = 0;
  next_unit_ = 0;
  weights_.codes_are_fresh();  // arrive() makes them
}

void ParamExchange::arrive(int64_t unit) {
  for (; arrived_ < buckets_.size() && buckets_[arrived_].bucket.first_unit <= unit; ++arrived_) {
    const Traveling& t = buckets_[arrived_];
    collectives_.wait(t.ticket);
    if (t.bucket.holds_codes) codes_.complete(t.bucket);
  }
  for (; next_unit_ <= unit; ++next_unit_) weights_.quantize_working(next_unit_);
}

void ParamExchange::finish() { arrive(last_unit_); }

}  // namespace mbt

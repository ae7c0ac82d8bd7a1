// Updated parameters handed from the rank that holds them to all others: the second half of a step with a sharded optimizer.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/model/weights.h"

namespace mbt {

/// Working weights are all-gathered, bucket by bucket.
class ParamExchange {
 public:
  /// Both must outlive it. The optimizer of `weights` is sharded.
  ParamExchange(Backend& backend, Collectives& collectives, Weights& weights);

  /// Own pieces of the working weights are those of the masters; sends them off. Parameters must not be read before they have arrived.
  void launch();
  /// What forward reads in `unit` has arrived, its codes too. Units in the order of forward.
  void arrive(int64_t unit);
  /// Everything has.
  void finish();
  /// What travels changes with delayed scales, not with the weights alone.
  bool depends_on_scales() const { return weights_.keeps_codes_only() && !weights_.delayed().empty(); }
  bool is_under_way() const { return arrived_ < buckets_.size(); }

 private:
  struct Travelling {
    Bucket bucket;
    Collectives::Ticket ticket = 0;
  };

  Backend& backend_;
  Collectives& collectives_;
  Weights& weights_;
  std::vector<Travelling> buckets_;  // by first_unit
  size_t arrived_ = 0;
  int64_t next_unit_ = 0;            // whose codes are still to be made
  int64_t last_unit_ = 0;
};

}  // namespace mbt

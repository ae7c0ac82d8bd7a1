// Updated parameters handed from the rank that holds them to all others: the second half of a step with a sharded optimizer.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/model/weights.h"
#include "core/parallel/code_exchange.h"

namespace mbt {

/// All-gathers bucket by bucket: working weights in the activation dtype, and codes of what exists only as codes (CodeExchange).
class ParamExchange {
 public:
  /// All must outlive it. The optimizer of `weights` is sharded; act: the activation dtype.
  ParamExchange(Backend& backend, Collectives& collectives, DType act, Weights& weights);

  /// Own pieces of the working weights are those of the masters; sends them off, and the codes too. Parameters must not be read before they
  /// have arrived.
  void launch();
  /// Waits until all parameters that forward reads in `unit` have arrived, codes included. Call it for the units in the order of forward.
  void arrive(int64_t unit);
  /// Waits until all parameters have arrived.
  void finish();
  /// Whether the exchanged data depends on delayed scales as well as on the weights.
  bool depends_on_scales() const { return weights_.keeps_codes_only() && !weights_.delayed().empty(); }
  /// Whether the bucket's parameters are exchanged in its gradients' memory, which must not be touched meanwhile.
  bool occupies_gradients(const Bucket& bucket) const { return bucket.holds_codes && codes_.travels_in_gradients() && is_under_way(); }
  bool is_under_way() const { return arrived_ < buckets_.size(); }

 private:
  struct Traveling {
    Bucket bucket;
    Collectives::Ticket ticket = 0;
  };

  Backend& backend_;
  Collectives& collectives_;
  Weights& weights_;
  CodeExchange codes_;
  std::vector<Traveling> buckets_;  // by first_unit
  size_t arrived_ = 0;
  int64_t next_unit_ = 0;  // whose codes are still to be made
  int64_t last_unit_ = 0;
};

}  // namespace mbt

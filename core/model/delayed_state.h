// Delayed scaling's memory: one column (scale and amax history) for each quantized operand of each linear layer.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/model/params.h"
#include "core/recipe/policy.h"
#include "core/tensor/arena_plan.h"

namespace mbt {

struct DelayedStatePlan {
  int64_t num_columns = 0;
  std::vector<float> fp8_max;         ///< per column: max_of() its format
  std::vector<int64_t> first_column;  ///< per layer; -1: the layer is not quantized
  TensorSlot history, scale, max;     ///< f32 [length, n], [n], [n]
};

DelayedStatePlan plan_delayed_state(ArenaPlan& arena, const PrecisionPolicy& policy);

class DelayedState {
 public:
  DelayedState() = default;
  DelayedState(Backend& backend, const PrecisionPolicy& policy, const DelayedStatePlan& plan, const ArenaPlan& arena, void* base);

  /// Gives a delayed tensor its scale and its staging slot; does nothing for other scalings.
  void attach(QuantTensorView& q, int64_t layer, LinearKind linear, TensorRole role) const;
  /// Staged amaxes -> history -> scales. Once per micro-batch, after its backward: the same scales as upstream's separate forward and
  /// backward updates, and a recomputed forward still sees the scale of the first one.
  void update(Backend& backend) const;

  bool empty() const { return history_.empty(); }
  TensorView history() const { return history_; }  // [length, n] f32
  /// Row 0 of the history, [n]: the amaxes of the micro-batch under way.
  TensorView staged() const { return history_.element_range(0, history_.cols()); }
  TensorView scale() const { return scale_; }  // [n] f32

 private:
  DelayedStatePlan plan_;
  int64_t margin_ = 0;
  AmaxAlgorithm algorithm_ = AmaxAlgorithm::most_recent;
  TensorView history_, scale_, fp8_max_;
};

}  // namespace mbt

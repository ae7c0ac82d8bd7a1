// Whether a run whose steps are skipped can get anywhere: no weight changes in such a step.
#pragma once

#include <cstdint>
#include <string>

#include "core/optim/loss_scaler.h"

namespace mbt {

/// lost: skipped for gradients that are not finite, under a loss scale that cannot fall any more.
enum class StepFate : uint8_t { advanced, skipped, lost };

/// scale: that of the step.
StepFate fate_of(bool was_skipped, bool is_finite, double scale, const LossScaler& scaler);

/// Of the steps of this run; what it did before it was continued is not known.
class SkippedSteps {
 public:
  /// Lost steps in a row after which the run ends: the scale stays, the weights stay, and other data has not helped.
  static constexpr int64_t kMostLost = 20;

  void add(StepFate fate);
  bool is_stuck() const { return lost_in_a_row_ >= kMostLost; }
  /// No step changed a weight, and the last one could not have.
  bool was_in_vain() const { return steps_ > 0 && advanced_ == 0 && lost_in_a_row_ > 0; }
  /// Why a run that is stuck or was in vain ends.
  std::string why(const LossScaler& scaler) const;
  /// About a run at its end that was not in vain; empty: nothing is to be said.
  std::string warning() const;

 private:
  int64_t steps_ = 0, advanced_ = 0, skipped_in_a_row_ = 0, lost_in_a_row_ = 0;
};

}  // namespace mbt

#include "core/train/skipped_steps.h"

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {

StepFate fate_of(bool was_skipped, bool is_finite, double scale, const LossScaler& scaler) {
  if (!was_skipped) return StepFate::advanced;
  const bool can_fall = scaler.kind == LossScaling::dynamic && scale > static_cast<double>(scaler.min_scale);
  return is_finite || !scaler.checks_gradients() || can_fall ? StepFate::skipped : StepFate::lost;
}

void SkippedSteps::add(StepFate fate) {
  ++steps_;
  advanced_ += fate == StepFate::advanced;
  skipped_in_a_row_ = fate == StepFate::advanced ? 0 : skipped_in_a_row_ + 1;
  lost_in_a_row_ = fate == StepFate::lost ? lost_in_a_row_ + 1 : 0;
}

std::string SkippedSteps::why(const LossScaler& scaler) const {
  const bool is_constant = scaler.kind == LossScaling::constant;
  return fmt::format(
      "the last {} steps were skipped, and more would be: their gradients are not finite under a loss scale of {}, which {}. {} of this "
      "run's {} steps changed the weights. Lower mixed_precision.{} or optimizer.lr, or train in bf16 (mixed_precision bf16_mixed)",
      skipped_in_a_row_, to_text(static_cast<double>(scaler.scale)), is_constant ? "is constant" : "is the smallest allowed", advanced_,
      steps_, is_constant ? "loss_scale" : "min_loss_scale");
}

std::string SkippedSteps::warning() const {
  if (steps_ == 0 || advanced_ > 0) return "";
  return fmt::format(
      "no step of this run changed the weights: all {} were skipped (metrics.jsonl and the log tell their loss scale and gradient norm)",
      steps_);
}

}  // namespace mbt

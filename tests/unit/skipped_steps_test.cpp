// When a run whose steps are skipped ends.
#include "core/train/skipped_steps.h"

#include "tests/support/catch.h"

namespace mbt::test::skipped_steps_test {

namespace {

void add(SkippedSteps& steps, StepFate fate, int64_t times) {
  for (int64_t i = 0; i < times; ++i) steps.add(fate);
}

}  // namespace

TEST_CASE("a step is lost when its scale cannot fall and its gradients are not finite") {
  const LossScaler constant{.kind = LossScaling::constant, .scale = 8}, none;
  const LossScaler dynamic{.kind = LossScaling::dynamic, .scale = 4, .min_scale = 4};
  CHECK(fate_of(false, true, 8, constant) == StepFate::advanced);
  CHECK(fate_of(true, false, 8, constant) == StepFate::lost);
  CHECK(fate_of(true, true, 8, constant) == StepFate::skipped);  // for its gradient norm
  CHECK(fate_of(true, false, 4, dynamic) == StepFate::lost);
  CHECK(fate_of(true, false, 8, dynamic) == StepFate::skipped);  // it has fallen to 4 after the step
  CHECK(fate_of(true, false, 1, none) == StepFate::skipped);     // nan_policy skip: the user's wish
}

TEST_CASE("lost steps in a row are counted, whatever came before") {
  SkippedSteps steps;
  CHECK_FALSE(steps.was_in_vain());  // nothing was tried
  add(steps, StepFate::skipped, 100);
  CHECK_FALSE(steps.is_stuck());
  CHECK_FALSE(steps.was_in_vain());
  CHECK_THAT(steps.warning(), ContainsSubstring("all 100 were skipped"));
  add(steps, StepFate::lost, SkippedSteps::kMostLost - 1);
  CHECK_FALSE(steps.is_stuck());
  CHECK(steps.was_in_vain());
  add(steps, StepFate::advanced, 1);
  CHECK_FALSE(steps.was_in_vain());
  CHECK(steps.warning().empty());
  add(steps, StepFate::lost, SkippedSteps::kMostLost - 1);
  CHECK_FALSE(steps.is_stuck());
  add(steps, StepFate::lost, 1);
  CHECK(steps.is_stuck());
  const LossScaler scaler{.kind = LossScaling::constant, .scale = 1e12F};
  CHECK_THAT(steps.why(scaler), ContainsSubstring("the last 20 steps were skipped") && ContainsSubstring("is constant") &&
                                    ContainsSubstring("mixed_precision.loss_scale"));
}

}  // namespace mbt::test::skipped_steps_test

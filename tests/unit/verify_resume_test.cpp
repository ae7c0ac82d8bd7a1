// What verify-resume says about two lists of losses.
#include "core/train/verify_resume.h"

#include <limits>

#include "tests/support/catch.h"

namespace mbt::test::verify_resume_test {

TEST_CASE("equal losses have no difference, NaN included") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(loss_difference({{5.5, nan}, ""}, {{5.5, nan}, ""}).empty());
}

TEST_CASE("losses that differ in the eighth digit are printed differently") {
  CHECK(loss_difference({{5.5, 5.5432101}, ""}, {{5.5, 5.5432102}, ""}) == "iteration 2: loss 5.5432101 without, 5.5432102 with a break");
  CHECK(loss_difference({{5.54321f}, ""}, {{5.5432103f}, ""}) ==
        "iteration 1: loss 5.543210029602051 without, 5.543210506439209 with a break");
}

TEST_CASE("an iteration that one run lacks is a difference") {
  CHECK(loss_difference({{1, 2}, ""}, {{1}, ""}) == "iteration 2: missing in one of the runs");
}

}  // namespace mbt::test::verify_resume_test

// The element conversions and functions inside the loops, as compiled for the baseline; the ops' tests run them at every level.
#define MBT_LEVEL test_level
#include "kernels/cpu/loops/math.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/guarded_tensor.h"

namespace mbt::cpu::test_level {
namespace {

using mbt::test::GuardedTensor;

/// Units in the last place of the fp32 result.
double ulps(float got, double want) {
  const double ulp = std::ldexp(1.0, std::max(std::ilogb(want), -126) - 23);
  return std::fabs(got - want) / ulp;
}

TEST_CASE("exp_of is within 2 ulp from the smallest subnormal to the largest number", "[loops]") {
  double worst = 0;
  for (double x = -103.9; x < 88.72; x += 0.000917) {
    const auto arg = static_cast<float>(x);
    worst = std::max(worst, ulps(exp_of(arg), std::exp(static_cast<double>(arg))));
  }
  CHECK(worst < 2);
  CHECK(exp_of(0.0f) == 1.0f);
  CHECK(exp_of(88.8f) == INFINITY);
  CHECK(exp_of(INFINITY) == INFINITY);
  CHECK(exp_of(-INFINITY) == 0.0f);
  CHECK(exp_of(-110.0f) == 0.0f);
  CHECK(std::isnan(exp_of(NAN)));
}

TEST_CASE("sigmoid_of and normal_cdf_of keep relative precision in both tails", "[loops]") {
  double worst_sigmoid = 0, worst_cdf = 0;
  for (double x = -13.0; x < 13.0; x += 0.000317) {
    const auto arg = static_cast<float>(x);
    const double sigmoid = 1 / (1 + std::exp(-static_cast<double>(arg)));
    const double cdf = 0.5 * std::erfc(-static_cast<double>(arg) / std::sqrt(2.0));
    worst_sigmoid = std::max(worst_sigmoid, std::fabs(sigmoid_of(arg) - sigmoid) / sigmoid);
    worst_cdf = std::max(worst_cdf, std::fabs(normal_cdf_of(arg) - cdf) / cdf);
  }
  CHECK(worst_sigmoid < 4e-7);
  CHECK(worst_cdf < 2e-5);  // at -13: the argument of exp is -84, known to 2^-24 of that
  CHECK(std::isnan(normal_cdf_of(NAN)));
}

TEST_CASE("every 16-bit code survives the way to fp32 and back", "[loops]") {
  for (uint32_t code = 0; code < 0x10000; ++code) {
    const auto bits = static_cast<uint16_t>(code);
    const float bf16 = to_float(Bf16{bits}), f16 = to_float(F16{bits});
    if (std::isnan(bf16)) CHECK(std::isnan(to_float(from_float<Bf16>(bf16))));
    else REQUIRE(from_float<Bf16>(bf16).bits == bits);
    if (std::isnan(f16)) CHECK(std::isnan(to_float(from_float<F16>(f16))));
    else REQUIRE(from_float<F16>(f16).bits == bits);
  }
}

/// Both sides of every midpoint of neighbors, and the midpoint itself.
template <class T>
void check_rounding(uint16_t infinity) {
  for (uint16_t code = 0; code + 1 < infinity; ++code) {
    const double low = to_float(T{code}), high = to_float(T{static_cast<uint16_t>(code + 1)});
    const auto middle = static_cast<float>((low + high) / 2);
    const auto even = static_cast<uint16_t>(code + (code & 1));
    REQUIRE(from_float<T>(middle).bits == even);
    REQUIRE(from_float<T>(-middle).bits == (even | 0x8000));
    REQUIRE(from_float<T>(std::nextafter(middle, INFINITY)).bits == code + 1);
    REQUIRE(from_float<T>(std::nextafter(middle, -INFINITY)).bits == code);
  }
}

TEST_CASE("rounding to 16 bits: nearest, ties to even, overflow to infinity", "[loops]") {
  check_rounding<Bf16>(0x7f80);
  check_rounding<F16>(0x7c00);
  CHECK(from_float<F16>(65519.0f).bits == 0x7bff);
  CHECK(from_float<F16>(65520.0f).bits == 0x7c00);
  CHECK(from_float<F16>(-1e30f).bits == 0xfc00);
  CHECK(from_float<Bf16>(3.4e38f).bits == 0x7f80);
  CHECK(from_float<Bf16>(-INFINITY).bits == 0xff80);
  CHECK(from_float<F16>(float_of(0x7f800001u)).bits > 0x7c00);  // a NaN whose payload lies in the bits cut off
  CHECK(from_float<Bf16>(float_of(0x7f800001u)).bits > 0x7f80);
}

}  // namespace
}  // namespace mbt::cpu::test_level

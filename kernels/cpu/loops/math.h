// exp and its relatives for the vectorized loops: fp32, no tables, no branches, a few ulp at most (tests/unit/loop_math_test.cpp).
#pragma once

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {

inline float min_of(float a, float b) { return a < b ? a : b; }
inline float max_of(float a, float b) { return a > b ? a : b; }

/// e^x within 1 ulp or so: 2^n e^r with |r| <= ln2/2. Overflows to infinity, underflows through the subnormals to 0, keeps NaN.
inline float exp_of(float x) {
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.62ep-1f;  // 12 bits: n * kLn2High is exact
  constexpr float kLn2Low = 0x1.0bfbe8p-15f;
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.39336711e-3f;  // (e^r - 1 - r) / r^2, Chebyshev fit
  p = p * r + 8.36319393e-3f;
  p = p * r + 4.16664647e-2f;
  p = p * r + 1.66665769e-1f;
  p = p * r + 0.5f;
  p = (p * r) * r + r + 1.0f;
  const int32_t exponent = static_cast<int32_t>(bits_of(shifted) - bits_of(kRound));
  const int32_t half = exponent >> 1;  // two factors, so that 2^n itself neither overflows nor underflows
  return p * float_of(static_cast<uint32_t>(half + 127) << 23) * float_of(static_cast<uint32_t>(exponent - half + 127) << 23);
}

inline float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }

/// The standard normal distribution function, 1/2 erfc(-x/sqrt2), within about 1e-6 relative in both tails:
/// erfc(z) = t e^(q(t) - z^2) with t = 1/(1 + z/2), q a Chebyshev fit for 0 <= z <= 10.4.
inline float normal_cdf_of(float x) {
  const float z = (x < 0.0f ? -x : x) * 0.70710678f;
  const float t = 1.0f / (1.0f + 0.5f * z);
  float q = 0.14805983f;
  q = q * t - 0.69787416f;
  q = q * t + 1.19684818f;
  q = q * t - 0.749624863f;
  q = q * t - 0.0361684744f;
  q = q * t - 0.022138984f;
  q = q * t + 0.0425483933f;
  q = q * t + 0.38498244f;
  q = q * t + 0.998825111f;
  q = q * t - 1.26545742f;
  const float tail = 0.5f * t * exp_of(q - z * z);
  return x < 0.0f ? tail : 1.0f - tail;
}

}  // namespace mbt::cpu::MBT_LEVEL

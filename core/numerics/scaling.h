// The scale rules of every recipe as small functions of fp32 values, in the exact order of operations that fixes the stored bits.
// Sources and derivations: docs/mixed-precision.md. These are the specification; kernels/cpu/loops has vectorized equals.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

#include "core/base/host_device.h"
#include "core/numerics/codecs.h"
#include "core/numerics/quant_format.h"

namespace mbt {

inline constexpr float kFloatMax = std::numeric_limits<float>::max();

/// max |x|, 0 for an empty range. NaN is dropped, Inf is not.
inline float amax_of(std::span<const float> x) {
  float amax = 0;
  for (float v : x) amax = std::fmax(amax, std::fabs(v));
  return amax;
}

// -- one scale a tensor or a block
// ---------------------------------------------------------------------------------------------------------

/// The largest power of two <= x: clears the mantissa. For finite normal x.
constexpr float pow2_floor(float x) { return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0xFF800000); }

/// fp8_max / amax, held at the largest float; 1 when the amax is 0, Inf or NaN. The same for a tensor ("current scaling") and a block.
MBT_HOST_DEVICE inline float current_scale(float amax, float fp8_max, bool power_of_two) {
  if (!(amax > 0) || std::isinf(amax)) return 1.0F;
  const float scale = std::fmin(fp8_max / amax, kFloatMax);
  return power_of_two ? pow2_floor(scale) : scale;
}

/// Blockwise scales are rounded down to a power of two, so that a block never saturates.
MBT_HOST_DEVICE inline float blockwise_scale(float amax, float fp8_max) { return current_scale(amax, fp8_max, true); }

/// E8M0 code of an mxfp8 block: ceil(log2(amax / fp8_max)) + 127, clamped. Codes are made with the multiplier exp2_rcp(e).
MBT_HOST_DEVICE inline uint8_t mxfp8_exponent(float amax, float fp8_max) { return e8m0_roundup(amax * (1.0F / fp8_max)); }

// -- delayed scaling
// -----------------------------------------------------------------------------------------------------------------------

/// The scale for an amax of the history: fp8_max / 2^margin / amax, held at the largest float; the old one where the amax is 0, Inf or NaN.
MBT_HOST_DEVICE inline float delayed_scale(float amax, float old_scale, float fp8_max, int64_t margin) {
  if (!std::isfinite(amax) || !(amax > 0)) return old_scale;
  return std::fmin(std::ldexp(fp8_max, static_cast<int>(-margin)) / amax, kFloatMax);
}

/// One update of one tensor's state: history[0] is the staging slot with the amax recorded since the last update. When nothing was recorded
/// now or before, nothing changes. The history's maximum is taken before the roll: the entry that leaves still counts.
/// An infinite amax enters the history and keeps the scale as it is while it stays in the window.
inline void update_delayed_scale(std::span<float> history, float& scale, float fp8_max, int64_t margin, bool use_window_max) {
  const size_t n = history.size();
  const float last = history[0];
  if (last == 0) return;
  float amax = last;
  if (use_window_max) {
    for (size_t i = 1; i < n; ++i) amax = std::fmax(amax, history[i]);
  }
  for (size_t i = 1; i + 1 < n; ++i) history[i] = history[i + 1];
  if (n > 1) history[n - 1] = last;
  history[0] = 0;
  scale = delayed_scale(amax, scale, fp8_max, margin);
}

// -- nvfp4
// ---------------------------------------------------------------------------------------------------------------------------------

/// The largest value of a code times that of its block's scale: 2688.
inline constexpr float kNvfp4Max = max_of(QuantFormat::e4m3) * max_of(QuantFormat::e2m1);

/// The second-level scale of a tensor with amax G: values are encoded as x * S_enc / (block scale).
MBT_HOST_DEVICE inline float nvfp4_global_encode_scale(float global_amax) {
  const float scale = std::fmin(kNvfp4Max / global_amax, kFloatMax);
  return global_amax == 0 || scale == 0 ? 1.0F : scale;
}

struct Nvfp4BlockScale {
  uint8_t code;      ///< E4M3, the stored scale
  float multiplier;  ///< codes are made from x * multiplier
};

/// The scale of a block with amax b under S_enc. A block whose scale underflows to 0 gets the largest multiplier: its values all represent
/// 0.
MBT_HOST_DEVICE inline Nvfp4BlockScale nvfp4_block_scale(float b, float global_encode_scale) {
  constexpr float kInverse = 1.0F / max_of(QuantFormat::e2m1);
  const float mult = global_encode_scale * kInverse;
  const uint8_t code = encode_e4m3(std::fmin(b * mult, kFloatMax));
  const float global_decode_scale = 1.0F / global_encode_scale;
  const float multiplier = std::fmin(1.0F / (decode_e4m3(code) * global_decode_scale), kFloatMax);
  return {code, multiplier};
}

/// The share of the global factor that an operand brings to a GEMM: G / 2688. The product of two is G_A * G_B / (6*6*448*448).
inline float nvfp4_gemm_factor(float global_amax) { return global_amax / kNvfp4Max; }

/// Stochastic rounding to E2M1 with 8 random bits k: adds k/256 of the grid's step to |t| and truncates; clamps at 6; NaN gives +6.
/// |t| below 1 is first rounded to a multiple of 2^-23, which lets kernels work on fixed-point bits.
inline uint8_t encode_e2m1_stochastic(float t, uint8_t k) {
  if (std::isnan(t)) return 0x7;
  const double magnitude = std::fabs(t) < 1 ? double{(1.0F + std::fabs(t)) - 1.0F} : double{std::fabs(t)};
  const uint8_t sign = std::signbit(t) ? 0x8 : 0;
  for (uint8_t code = 0; code < 7; ++code) {
    const double low = decode_e2m1(code), high = decode_e2m1(static_cast<uint8_t>(code + 1));
    if (magnitude < high) return sign | static_cast<uint8_t>(magnitude + k / 256.0 * (high - low) >= high ? code + 1 : code);
  }
  return sign | 0x7;
}

/// The fixed sign vector of the random Hadamard transform: bit i set: d_i = -1.
inline constexpr uint32_t kHadamardNegative = 0xD7E8;

/// x'_j = (1/4) sum_i x_i d_i (-1)^popcount(i & j), rounded to bf16 (through fp32). The sum is formed in double, where it is exact for bf16
/// values within 41 binades of each other: any order of summation, or other exact sums (kernels/cuda/device/hadamard.h), give the same
/// bits.
inline void hadamard16(std::array<float, 16>& x) {
  std::array<double, 16> v{};
  for (size_t i = 0; i < 16; ++i) v[i] = (kHadamardNegative >> i & 1) != 0 ? -double{x[i]} : double{x[i]};
  for (size_t half = 1; half < 16; half *= 2) {
    for (size_t i = 0; i < 16; ++i) {
      if ((i & half) != 0) continue;
      const double a = v[i], b = v[i + half];
      v[i] = a + b;
      v[i + half] = a - b;
    }
  }
  for (size_t i = 0; i < 16; ++i) x[i] = round_to_bf16(static_cast<float>(0.25 * v[i]));
}

}  // namespace mbt

// The codecs of core/numerics/codecs.h as kernels use them: a few operations an element, the same bits. Four codes to a 32-bit word, the
// first in the lowest byte.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/numerics/codecs.h"
#include "core/numerics/quant_format.h"
#include "kernels/cuda/device/element.h"

namespace mbt::cuda {

#if defined(MBT_EMULATED_DEVICE) || (defined(__CUDA_ARCH__) && (__CUDA_ARCH__ >= 890))
constexpr bool kHasFp8Conversions = true;
#else
constexpr bool kHasFp8Conversions = false;
#endif

constexpr uint32_t kMagnitudeMask = 0x7FFFFFFF;

/// Adding 2^22 (whose step is 1/2, that of E2M1's subnormals) rounds a magnitude below 1 to nearest even; above, the mantissa is rounded to
/// one bit in integers.
__device__ inline uint32_t encode_e2m1_fast(float x) {
  constexpr uint32_t kMagic = 149U << 23, kOne = 127U << 23;
  const uint32_t bits = __float_as_uint(x);
  const uint32_t magnitude = __float_as_uint(fminf(fabsf(x), 6.0F));  // NaN becomes 6, the code that it gets
  const uint32_t small = __float_as_uint(__fadd_rn(__uint_as_float(magnitude), __uint_as_float(kMagic))) - kMagic;
  const uint32_t normal = ((magnitude + 0x1FFFFFU + (magnitude >> 22 & 1U)) >> 22) - (126U << 1);
  const uint32_t sign = x != x ? 0U : bits >> 28 & 8U;
  return (magnitude < kOne ? small : normal) | sign;
}

/// As encode_e2m1_stochastic of core/numerics/scaling.h: k/256 of a step is added below the bits that stay. Below 1 the fixed-point value
/// 1 + |x| has its steps where the larger values have theirs.
__device__ inline uint32_t encode_e2m1_stochastic_fast(float x, uint32_t k) {
  constexpr uint32_t kOne = 127U << 23;
  const uint32_t bits = __float_as_uint(x), magnitude = bits & kMagnitudeMask;
  const uint32_t fixed = __float_as_uint(__fadd_rn(1.0F, __uint_as_float(magnitude))) - kOne;
  const uint32_t code = magnitude < kOne ? (fixed + (k << 14)) >> 22 : ((magnitude + (k << 14)) >> 22) - (126U << 1);
  return x != x ? 7U : min(code, 7U) | (bits >> 28 & 8U);
}

/// The codes of v[0..3].
template <QuantFormat F>
__device__ inline uint32_t encode4(const float (&v)[4]) {
  if constexpr (F == QuantFormat::e2m1) {
    return encode_e2m1_fast(v[0]) | encode_e2m1_fast(v[1]) << 8 | encode_e2m1_fast(v[2]) << 16 | encode_e2m1_fast(v[3]) << 24;
  } else if constexpr (kHasFp8Conversions && F == QuantFormat::e4m3) {
    return uint32_t{cvt_rn_satfinite_e4m3x2(v[0], v[1])} | uint32_t{cvt_rn_satfinite_e4m3x2(v[2], v[3])} << 16;
  } else if constexpr (kHasFp8Conversions && F == QuantFormat::e5m2) {
    return uint32_t{cvt_rn_satfinite_e5m2x2(v[0], v[1])} | uint32_t{cvt_rn_satfinite_e5m2x2(v[2], v[3])} << 16;
  } else {
    constexpr FloatFormat kLayout = layout_of(F);
    return encode<kLayout>(v[0]) | encode<kLayout>(v[1]) << 8 | encode<kLayout>(v[2]) << 16 | encode<kLayout>(v[3]) << 24;
  }
}
/// The same for an FP8 format that is known at run time alone.
__device__ inline uint32_t encode4(QuantFormat fp8, const float (&v)[4]) {
  return fp8 == QuantFormat::e5m2 ? encode4<QuantFormat::e5m2>(v) : encode4<QuantFormat::e4m3>(v);
}

/// code * scale, exact where the product is; `scale` is not negative. A NaN code keeps its sign.
template <QuantFormat F>
__device__ inline float decode_scaled(uint32_t code, float scale) {
  constexpr FloatFormat kLayout = layout_of(F);
  constexpr uint32_t kSign = 1U << (bits_of(F) - 1);
  const uint32_t magnitude = code & (kSign - 1);
  float value = 0;
  if constexpr (kLayout.exponent_bits == kFp16.exponent_bits) {  // the upper bits of an fp16 number
    value = cvt_f32_f16(static_cast<uint16_t>(magnitude << (kFp16.mantissa_bits - kLayout.mantissa_bits)));
  } else {  // the bits as those of an fp32 number, whose exponent lacks the difference of biases
    static_assert(!kLayout.has_inf);
    constexpr float kRebias = exp2_f32(127 - kLayout.bias);
    value = __fmul_rn(__uint_as_float(magnitude << (23 - kLayout.mantissa_bits)), kRebias);
    if constexpr (kLayout.largest + 1 < kSign) value = magnitude > kLayout.largest ? __uint_as_float(0x7FC00000) : value;
  }
  const uint32_t bits = __float_as_uint(__fmul_rn(value, scale)) & kMagnitudeMask;
  return __uint_as_float(bits | ((code & kSign) != 0 ? 0x80000000U : 0U));
}

/// Element bytes of a 4x4 matrix of bytes, transposed: byte i of out[j] is byte j of in[i].
__device__ inline void transpose_bytes(const uint32_t (&in)[4], uint32_t (&out)[4]) {
  const uint32_t low01 = __byte_perm(in[0], in[1], 0x5140), high01 = __byte_perm(in[0], in[1], 0x7362);  // 0.0 1.0 0.1 1.1; 0.2 1.2 0.3 1.3
  const uint32_t low23 = __byte_perm(in[2], in[3], 0x5140), high23 = __byte_perm(in[2], in[3], 0x7362);
  out[0] = __byte_perm(low01, low23, 0x5410);
  out[1] = __byte_perm(low01, low23, 0x7632);
  out[2] = __byte_perm(high01, high23, 0x5410);
  out[3] = __byte_perm(high01, high23, 0x7632);
}

}  // namespace mbt::cuda

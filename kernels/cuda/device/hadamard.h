// The Hadamard transform of 16 values (core/numerics/scaling.h, hadamard16): the bits of its sums in double, nearly always without fp64,
// whose units are few on most GPUs (1/64 of fp32 on compute capability 12.0, fewer still on 10.3).
//
// The sums in double are exact for values within 41 binades of each other, so whatever gives the exact sum, rounded once to fp32, has the
// same bits. Let 2^E be the largest magnitude's power of two. All partial sums are below 2^(E+5).
//   fp32        All values are multiples of 2^(E-19): so are all sums, which then have at most 24 bits. No addition rounds.
//   fp32_pairs  Each value is high + low: high the nearest multiple of 2^(E-19), low the rest, at most 2^(E-20). Where all rests are
//               multiples of 2^(E-40), their sums, below 2^(E-16), have at most 24 bits too. Both sums are exact, and adding them rounds
//               once.
//   fp64        Anything else: values more than 32 binades (bf16) apart, or near the ends of fp32's range. Sums of zero too, where high and
//               low do not tell the sign that double gives.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/numerics/scaling.h"

namespace mbt::cuda {

inline constexpr int kHadamardSize = 16;

enum class HadamardSums : uint8_t { fp32, fp32_pairs, fp64 };

/// v = H v, unscaled.
template <class T>
__device__ inline void butterflies(T (&v)[kHadamardSize]) {
#pragma unroll
  for (int half = 1; half < kHadamardSize; half *= 2) {
#pragma unroll
    for (int i = 0; i < kHadamardSize; ++i) {
      if ((i & half) != 0) continue;
      const T sum = v[i] + v[i + half], difference = v[i] - v[i + half];
      v[i] = sum;
      v[i + half] = difference;
    }
  }
}

/// Value r of column k, with its sign.
template <class Row>
__device__ inline float signed_value(const Row (&x)[kHadamardSize], int r, int k) {
  const float value = x[r][k];
  return (kHadamardNegative >> r & 1) != 0 ? -value : value;
}

template <class Row>
__device__ inline void hadamard_in_double(const Row (&x)[kHadamardSize], int k, float (&out)[kHadamardSize]) {
  double v[kHadamardSize];
#pragma unroll
  for (int r = 0; r < kHadamardSize; ++r) v[r] = static_cast<double>(signed_value(x, r, k));
  butterflies(v);
#pragma unroll
  for (int r = 0; r < kHadamardSize; ++r) out[r] = __double2float_rn(0.25 * v[r]);
}

/// x to its nearest multiple of the unit that `shift`, 1.5 * 2^23 units, stands for.
__device__ inline float to_multiple(float x, float shift) { return __fsub_rn(__fadd_rn(x, shift), shift); }

/// out = the transform of column k of x in fp32; bf16 comes next. Returns how it was computed.
template <class Row>
__device__ inline HadamardSums hadamard_column(const Row (&x)[kHadamardSize], int k, float (&out)[kHadamardSize]) {
  float largest = 0.0F;
#pragma unroll
  for (int r = 0; r < kHadamardSize; ++r) largest = fmaxf(largest, fabsf(x[r][k]));
  const float power = __uint_as_float(__float_as_uint(largest) & 0x7F800000U);  // 2^E; 0 below fp32's normal numbers
  const float shift = 24.0F * power, low_shift = shift * 0x1p-21F;
  bool is_exact = (power > 0.0F || largest == 0.0F) && power <= 0x1p122F;  // not for Inf; a NaN is no multiple
  bool fits = power >= 0x1p-60F && power <= 0x1p122F;                      // so that a quarter of the least sum is still normal
  float low[kHadamardSize];
#pragma unroll
  for (int r = 0; r < kHadamardSize; ++r) {
    out[r] = signed_value(x, r, k);
    low[r] = __fsub_rn(out[r], to_multiple(out[r], shift));
    is_exact = is_exact && low[r] == 0.0F;
    fits = fits && to_multiple(low[r], low_shift) == low[r];
  }
  if (is_exact) {
    butterflies(out);
#pragma unroll
    for (float& sum : out) sum *= 0.25F;
    return HadamardSums::fp32;
  }
  if (fits) {
#pragma unroll
    for (int r = 0; r < kHadamardSize; ++r) out[r] = __fsub_rn(out[r], low[r]);
    butterflies(out);
    butterflies(low);
#pragma unroll
    for (int r = 0; r < kHadamardSize; ++r) {
      out[r] = 0.25F * __fadd_rn(out[r], low[r]);
      fits = fits && out[r] != 0.0F;
    }
  }
  if (fits) return HadamardSums::fp32_pairs;
  hadamard_in_double(x, k, out);
  return HadamardSums::fp64;
}

}  // namespace mbt::cuda

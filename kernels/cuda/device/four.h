// Four neighboring elements of a matrix that is quantized, in registers: packed as they are where they have 16 bits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/element.h"

namespace mbt::cuda {

/// H: what the elements count as (quantize's round_to has been applied).
template <class H>
struct Four {
  uint32_t raw[2];

  __device__ float operator[](int k) const {
    return to_float(H{static_cast<uint16_t>(k % 2 == 0 ? raw[k / 2] & 0xFFFFU : raw[k / 2] >> 16)});
  }
  __device__ static Four zero() { return {{0, 0}}; }
  __device__ void set(int k, H x) { raw[k / 2] |= static_cast<uint32_t>(x.bits) << (k % 2 * 16); }  // of zero
  __device__ void set(int k, float x) {
    H narrow;
    from_float(x, narrow);
    set(k, narrow);
  }
  __device__ static Four at(const H* x) {
    const uint2 pair = *reinterpret_cast<const uint2*>(x);
    return {{pair.x, pair.y}};
  }
  __device__ static Four at(const float* x) { return of(*reinterpret_cast<const float4*>(x)); }
  __device__ static Four of(const float4& v) {
    const float values[4] = {v.x, v.y, v.z, v.w};
    H narrow[4];
    from_floats(values, narrow);
    return {{narrow[0].bits | uint32_t{narrow[1].bits} << 16, narrow[2].bits | uint32_t{narrow[3].bits} << 16}};
  }
  __device__ static void sixteen_at(const H* x, Four (&v)[4]) {
    const uint4 low = *reinterpret_cast<const uint4*>(x);
    const uint4 high = *reinterpret_cast<const uint4*>(x + 8);
    v[0] = Four{{low.x, low.y}}, v[1] = Four{{low.z, low.w}};
    v[2] = Four{{high.x, high.y}}, v[3] = Four{{high.z, high.w}};
  }
  __device__ static void sixteen_at(const float* x, Four (&v)[4]) {
    float4 wide[4];  // all loads before the first conversion
#pragma unroll
    for (int k = 0; k < 4; ++k) wide[k] = reinterpret_cast<const float4*>(x)[k];
#pragma unroll
    for (int k = 0; k < 4; ++k) v[k] = of(wide[k]);
  }
};

template <>
struct Four<float> {
  float values[4];

  __device__ float operator[](int k) const { return values[k]; }
  __device__ static Four zero() { return {{0, 0, 0, 0}}; }
  __device__ void set(int k, float x) { values[k] = x; }
  __device__ static Four at(const float* x) { return of(*reinterpret_cast<const float4*>(x)); }
  __device__ static Four of(const float4& v) { return {{v.x, v.y, v.z, v.w}}; }
  __device__ static void sixteen_at(const float* x, Four (&v)[4]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) v[k] = at(x + 4 * k);
  }
};

/// The first `count` (0..4; 4 where `is_vector`, which promises alignment, unless 0) elements from x on, zeros after them.
template <class H, class T>
__device__ inline Four<H> load_four(const T* x, int count, bool is_vector) {
  if (is_vector && count == 4) return Four<H>::at(x);
  Four<H> four = Four<H>::zero();
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (k < count) four.set(k, x[k]);
  }
  return four;
}

/// The first `count` (0..16) elements from x on; is_vector promises 16-byte alignment, and that count is then 16 or 0 as a rule.
template <class H, class T>
__device__ inline void load_sixteen(const T* x, int count, bool is_vector, Four<H> (&v)[4]) {
  if (is_vector && count == 16) return Four<H>::sixteen_at(x, v);
#pragma unroll
  for (int k = 0; k < 4; ++k) v[k] = load_four<H>(x + 4 * k, max(0, min(4, count - 4 * k)), is_vector);
}

/// The largest magnitude, NaN dropped.
template <class H>
__device__ inline float amax_of(const Four<H>& x) {
  return fmaxf(fmaxf(fmaxf(0.0F, fabsf(x[0])), fabsf(x[1])), fmaxf(fmaxf(0.0F, fabsf(x[2])), fabsf(x[3])));
}

/// Four codes; the first `count`.
__device__ inline void store_four(uint8_t* codes, uint32_t four, int count, bool is_vector) {
  if (is_vector && count == 4) {
    *reinterpret_cast<uint32_t*>(codes) = four;
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (k < count) codes[k] = static_cast<uint8_t>(four >> (8 * k));
  }
}

/// 16 codes; the first `count`.
__device__ inline void store_sixteen(uint8_t* codes, const uint32_t (&four)[4], int count, bool is_vector) {
  if (is_vector && count == 16) {
    *reinterpret_cast<uint4*>(codes) = make_uint4(four[0], four[1], four[2], four[3]);
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) store_four(codes + 4 * k, four[k], max(0, min(4, count - 4 * k)), false);
}

/// min(n, limit) as an int, 0 for negative n.
__device__ inline int clamp_count(int64_t n, int limit) { return static_cast<int>(max(int64_t{0}, min(int64_t{limit}, n))); }

/// *slot = max(*slot, amax) for non-negative values, whose bits order as integers. The slot only grows, so a value not above what it held a
/// moment ago needs no atomic.
__device__ inline void raise_amax(float* slot, float amax) {
  if (amax > *slot) atomicMax(reinterpret_cast<int*>(slot), __float_as_int(amax));
}

}  // namespace mbt::cuda

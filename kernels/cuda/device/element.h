// Elements of tensors in kernels: 16-bit types as their bits, loads to fp32 and stores rounded to nearest even, one at a time or 16 bytes
// at a time; and the one place where a dtype becomes a template argument.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "core/base/error.h"
#include "core/tensor/dtype.h"
#include "kernels/cuda/device/ptx.h"

namespace mbt::cuda {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(Bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
__device__ inline float to_float(F16 x) { return cvt_f32_f16(x.bits); }

/// A NaN becomes 0x7FC0 (bf16) or 0x7E00 (fp16) with its sign, as core/numerics says; the instruction alone would give 0x7FFF.
__device__ inline uint16_t bf16_bits(float x) {
  if (x != x) return static_cast<uint16_t>(__float_as_uint(x) >> 31 << 15 | 0x7FC0U);
  return static_cast<uint16_t>(cvt_rn_bf16x2(x, 0.0F) & 0xFFFFU);
}
__device__ inline uint16_t f16_bits(float x) {
  if (x != x) return static_cast<uint16_t>(__float_as_uint(x) >> 31 << 15 | 0x7E00U);
  return static_cast<uint16_t>(cvt_rn_f16x2(x, 0.0F) & 0xFFFFU);
}
__device__ inline void from_float(float x, float& out) { out = x; }
__device__ inline void from_float(float x, Bf16& out) { out.bits = bf16_bits(x); }
__device__ inline void from_float(float x, F16& out) { out.bits = f16_bits(x); }

/// Two elements in one instruction, the lower half first. No NaN.
template <class T>
__device__ inline uint32_t bits_of_numbers(float low, float high) {
  return std::is_same_v<T, Bf16> ? cvt_rn_bf16x2(low, high) : cvt_rn_f16x2(low, high);
}
/// Converts each element as from_float does. Pairs of 16-bit results share one instruction, which would lose the sign of a NaN, so one test
/// over all x detects NaNs first.
template <class T, int kCount>
__device__ inline void from_floats(const float (&x)[kCount], T (&out)[kCount]) {
  constexpr bool kInPairs = sizeof(T) == 2 && kCount % 2 == 0;
  bool are_numbers = kInPairs;
#pragma unroll
  for (int k = 0; k < kCount; ++k) are_numbers = are_numbers && x[k] == x[k];
  if (!are_numbers) {
#pragma unroll
    for (int k = 0; k < kCount; ++k) from_float(x[k], out[k]);
    return;
  }
  if constexpr (kInPairs) {
#pragma unroll
    for (int k = 0; k < kCount; k += 2) {
      const uint32_t pair = bits_of_numbers<T>(x[k], x[k + 1]);
      out[k].bits = static_cast<uint16_t>(pair & 0xFFFFU);
      out[k + 1].bits = static_cast<uint16_t>(pair >> 16);
    }
  }
}

template <class T>
__device__ inline float load(const T* x, int64_t i) {
  return to_float(x[i]);
}
template <class T>
__device__ inline void store(T* x, int64_t i, float value) {
  from_float(value, x[i]);
}
/// x as a value of T would be after storing and loading it.
template <class T>
__device__ inline float rounded(float x) {
  T stored;
  from_float(x, stored);
  return to_float(stored);
}

/// 16 bytes of T as floats: 4 of f32, 8 of the 16-bit types. `x + i` must be aligned to 16 bytes.
template <class T>
struct Vector {
  static constexpr int kSize = 16 / sizeof(T);
  float values[kSize];

  __device__ static Vector at(const T* x, int64_t i) {
    union {
      uint4 raw;
      T elements[kSize];
    } u;
    u.raw = *reinterpret_cast<const uint4*>(x + i);
    Vector v;
    for (int k = 0; k < kSize; ++k) v.values[k] = to_float(u.elements[k]);
    return v;
  }
  __device__ void put(T* x, int64_t i) const {
    union {
      uint4 raw;
      T elements[kSize];
    } u;
    from_floats(values, u.elements);
    *reinterpret_cast<uint4*>(x + i) = u.raw;
  }
};

/// f(T*) with the element type of an activation dtype. Throws Error with the op's name for any other dtype.
template <class F>
auto with_act(const char* op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f(static_cast<float*>(nullptr));
    case DType::bf16: return f(static_cast<Bf16*>(nullptr));
    case DType::f16: return f(static_cast<F16*>(nullptr));
    case DType::f64:
    case DType::i32:
    case DType::u8: break;
  }
  throw Error(fmt::format("{}: got {}, expected f32, bf16 or f16", op, name_of(dtype)));
}

}  // namespace mbt::cuda

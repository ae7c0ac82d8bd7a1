// Elements of act tensors in the vectorized loops: load to fp32, round once on store. Branch-free integer arithmetic, so that every
// x86-64 level (and arm64) gives the same bits, NaN and subnormals included.
// All of it lives in the namespace of the level being compiled: the linker must never merge a v4 copy with the one a v2 machine calls.
#pragma once

#include <cstdint>

#include "core/tensor/tensor_view.h"

namespace mbt::cpu::MBT_LEVEL {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

inline uint32_t bits_of(float x) { return __builtin_bit_cast(uint32_t, x); }
inline float float_of(uint32_t bits) { return __builtin_bit_cast(float, bits); }

inline float to_float(float x) { return x; }
inline float to_float(Bf16 x) { return float_of(uint32_t{x.bits} << 16); }
inline float to_float(F16 x) {
  const uint32_t sign = (uint32_t{x.bits} & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  const uint32_t rebias = magnitude >= 0x7c00u ? 224u << 23 : 112u << 23;  // infinities and NaN move to exponent 255
  const uint32_t normal = (magnitude << 13) + rebias;
  const uint32_t subnormal = bits_of(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  return float_of(sign | (magnitude < 0x400u ? subnormal : normal));
}

/// Rounds to nearest even; overflow gives infinity, a NaN stays a (quiet) NaN.
template <class T>
T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
template <>
inline Bf16 from_float<Bf16>(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40u;
  return {static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded)};
}
template <>
inline F16 from_float<F16>(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);  // an ulp of 0.5 is the spacing of subnormal fp16
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x3ffu) : 0x7c00u;
  return {static_cast<uint16_t>(sign | (magnitude >= 0x47800000u ? special : finite))};
}

template <class T>
float load(const T* p, int64_t i) {
  return to_float(p[i]);
}
template <class T>
void store(T* p, int64_t i, float x) {
  p[i] = from_float<T>(x);
}

/// Calls f with a null pointer of the element type of an act tensor: `with_act(t, [&]<class T>(T*) { loop<T>(args); })`.
/// Other dtypes do nothing: CpuBackend has refused them before.
template <class F>
void with_act(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f(static_cast<float*>(nullptr));
    case DType::bf16: return f(static_cast<Bf16*>(nullptr));
    case DType::f16: return f(static_cast<F16*>(nullptr));
    case DType::f64:
    case DType::i32:
    case DType::u8: return;
  }
}

}  // namespace mbt::cpu::MBT_LEVEL

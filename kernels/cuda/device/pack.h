// A few neighboring elements, moved by as few accesses as possible and kept as their bits: half the registers of Vector<T> for 16-bit
// types. Kernels that work on packs become their own scalar path with packs of one.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "kernels/cuda/device/element.h"

namespace mbt::cuda {

constexpr int kAccessBytes = 16;  ///< of the widest access

template <class T, int kCount>
struct Pack {
  static constexpr int kSize = kCount;
  static constexpr int kBytes = kCount * static_cast<int>(sizeof(T));
  using Access = std::conditional_t<
      kBytes % 16 == 0, uint4,
      std::conditional_t<kBytes == 8, uint2, std::conditional_t<kBytes == 4, uint32_t, std::conditional_t<kBytes == 2, uint16_t, void>>>>;
  static constexpr int kAccesses = kBytes / static_cast<int>(sizeof(Access));

  union {
    Access raw[kAccesses];
    T elements[kCount];
  };

  /// `x + i` must be aligned to one access.
  __device__ static Pack at(const T* x, int64_t i) {
    Pack p;
#pragma unroll
    for (int k = 0; k < kAccesses; ++k) p.raw[k] = reinterpret_cast<const Access*>(x + i)[k];
    return p;
  }
  /// Zeros, and nothing is read, unless `valid`.
  __device__ static Pack at_or_zero(bool valid, const T* x, int64_t i) {
    if (valid) return at(x, i);
    return Pack{};
  }
  __device__ void put(T* x, int64_t i) const {
#pragma unroll
    for (int k = 0; k < kAccesses; ++k) reinterpret_cast<Access*>(x + i)[k] = raw[k];
  }
  __device__ float operator[](int k) const { return to_float(elements[k]); }
  __device__ void set(int k, float value) { from_float(value, elements[k]); }
  __device__ void set_all(const float (&values)[kCount]) { from_floats(values, elements); }
  /// Element k becomes f(k), which may read this pack: nothing is written before all are known.
  template <class F>
  __device__ void set_each(const F& f) {
    float values[kCount];
#pragma unroll
    for (int k = 0; k < kCount; ++k) values[k] = f(k);
    set_all(values);
  }
};

/// 16 bytes, or one element.
template <class T, bool kWide>
using RowPack = Pack<T, kWide ? kAccessBytes / static_cast<int>(sizeof(T)) : 1>;

/// All rows of `cols` elements of T begin at a multiple of 16 bytes; null pointers are fine.
template <class T>
bool rows_are_aligned(int64_t cols, std::initializer_list<const void*> tensors) {
  if (cols * static_cast<int64_t>(sizeof(T)) % kAccessBytes != 0) return false;
  for (const void* t : tensors)
    if (reinterpret_cast<uintptr_t>(t) % kAccessBytes != 0) return false;
  return true;
}

}  // namespace mbt::cuda

// A kernel's own part in quantizing what it writes (core/ops/quant_output.h), from registers: the codes where the scale is known before
// (delayed scaling), else the maxima that the scale is made of.
#pragma once

#include "kernels/cuda/device/codecs.h"
#include "kernels/cuda/device/four.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/quantize/quantize_fused.h"

namespace mbt::cuda {

__device__ inline int thread_of_block() { return static_cast<int>((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x); }
__device__ inline int64_t block_of_grid() { return (static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x; }

/// Without: nothing. Every thread of a kernel makes one, hands each element of the output to add() once, and calls finish().
template <bool kFused>
struct OutputQuantizer {
  __device__ explicit OutputQuantizer(const FusedQuant&) {}
  template <class P>
  __device__ void add(const P&, int64_t) {}
  __device__ void finish(float*) {}
};

template <>
struct OutputQuantizer<true> {
  const FusedQuant& to;
  float scale = 1.0F, amax = 0.0F;

  __device__ explicit OutputQuantizer(const FusedQuant& quant) : to(quant) {
    if (to.codes != nullptr) scale = *to.scale;
  }
  /// The pack as it is stored, its first element the output's `at`-th: rounded as the output is.
  template <class T, int kCount>
  __device__ void add(const Pack<T, kCount>& x, int64_t at) {
#pragma unroll
    for (int k = 0; k < kCount; ++k) amax = fmaxf(amax, fabsf(x[k]));
    if (to.codes == nullptr) return;
    constexpr int kWords = (kCount + 3) / 4;
    uint32_t codes[kWords];
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      float v[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) v[k] = 4 * w + k < kCount ? __fmul_rn(x[4 * w + k], scale) : 0.0F;
      codes[w] = encode4(to.format, v);
    }
    if constexpr (kCount == 8) {
      if (to.is_vector) {
        *reinterpret_cast<uint2*>(to.codes + at) = make_uint2(codes[0], codes[1]);
        return;
      }
    }
#pragma unroll
    for (int k = 0; k < kCount; ++k) to.codes[at + k] = static_cast<uint8_t>(codes[k / 4] >> (8 * (k % 4)));
  }
  /// Every thread of the block, after its last add(). `shared`: one float that no thread uses otherwise from its last barrier on. A block
  /// may have any shape, so no shuffles; it happens once a block.
  __device__ void finish(float* shared) {
    const bool is_first = thread_of_block() == 0;
    __syncthreads();
    if (is_first) *shared = 0.0F;
    __syncthreads();
    raise_amax(shared, amax);
    __syncthreads();
    if (!is_first) return;
    if (to.parts != nullptr) to.parts[block_of_grid()] = *shared;
    if (to.amax != nullptr) raise_amax(to.amax, *shared);
    if (to.codes == nullptr || block_of_grid() != 0) return;
    const float inverse = __fdiv_rn(1.0F, scale);
    if (to.row_scale_inv != nullptr) *to.row_scale_inv = inverse;
    if (to.column_scale_inv != nullptr) *to.column_scale_inv = inverse;
  }
};

}  // namespace mbt::cuda

// Sums and maxima over the threads of a warp and of a block, in a fixed order.
#pragma once

#include <cuda_runtime.h>

namespace mbt::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFU;

template <class T>
__device__ inline T warp_sum(T x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}
/// fmaxf: a NaN is dropped.
__device__ inline float warp_max(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

/// The sum over all threads of a block of whole warps (at most 1024 threads), for every thread. `parts`: 32 elements of shared memory that
/// no thread uses otherwise until the block's next barrier after this call.
template <class T>
__device__ inline T block_sum(T x, T* parts) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  x = warp_sum(x);
  __syncthreads();  // an earlier use of parts is over
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  return warp_sum(lane < static_cast<int>(blockDim.x) / kWarp ? parts[lane] : T(0));
}
__device__ inline float block_max(float x, float* parts) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  x = warp_max(x);
  __syncthreads();
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  return warp_max(lane < static_cast<int>(blockDim.x) / kWarp ? parts[lane] : -INFINITY);
}

}  // namespace mbt::cuda

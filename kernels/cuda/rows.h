// The launch shape of kernels that go over a matrix row by row without a sum: threads along the columns, and along the rows where columns
// are few. No thread divides.
#pragma once

#include <algorithm>

#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

/// One thread for each of `packs` packs of each row, up to the grid's limit of rows: kernels go on by row_step().
inline LaunchShape shape_of_rows(int64_t rows, int64_t packs) {
  constexpr unsigned kThreads = 256, kMostGridRows = 65535;
  unsigned x = 1;
  while (x < kThreads && x < packs) x *= 2;
  const unsigned y = kThreads / x;
  return {
      .grid = dim3(static_cast<unsigned>((packs + x - 1) / x), static_cast<unsigned>(std::min<int64_t>((rows + y - 1) / y, kMostGridRows))),
      .block = dim3(x, y)};
}

#if defined(__CUDACC__) || defined(MBT_EMULATED_DEVICE)
/// This thread's first row, the distance to the next, and its pack.
__device__ inline int64_t first_row() { return static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; }
__device__ inline int64_t row_step() { return static_cast<int64_t>(gridDim.y) * blockDim.y; }
__device__ inline int64_t pack_of_row() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
#endif

}  // namespace mbt::cuda

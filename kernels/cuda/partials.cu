// add_partials_kernel: a warp's width of columns a block; its warps take every kGroups-th partial row each, and the first warp adds up what
// they found. So a few hundred partial rows of a few thousand columns are read at full width.
#include "kernels/cuda/partials.h"

#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kGroups = 16;

template <class P>
__global__ void __launch_bounds__(kWarp* kGroups)
    add_partials_kernel(const P* __restrict__ partials, int64_t count, int64_t stride, int64_t cols, float* __restrict__ out) {
  P* sums = shared_array<P>(0, kWarp * kGroups);
  const int lane = static_cast<int>(threadIdx.x), group = static_cast<int>(threadIdx.y);
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  P sum = 0;
  if (c < cols) {
#pragma unroll 4
    for (int64_t i = group; i < count; i += kGroups) sum += partials[i * stride + c];
  }
  sums[group * kWarp + lane] = sum;
  __syncthreads();
  if (group != 0 || c >= cols) return;
#pragma unroll
  for (int g = 1; g < kGroups; ++g) sum += sums[g * kWarp + lane];
  out[c] += static_cast<float>(sum);
}

template <class P>
void add_partials(const P* partials, int64_t count, int64_t stride, int64_t cols, float* out, const LaunchContext& context) {
  const dim3 grid(static_cast<unsigned>((cols + kWarp - 1) / kWarp));
  launch("add_partials", add_partials_kernel<P>, {grid, dim3(kWarp, kGroups), sizeof(P) * kWarp * kGroups}, context.stream, partials, count,
         stride, cols, out);
}

}  // namespace

void launch_add_partials(const float* partials, int64_t count, int64_t stride, int64_t cols, float* out, const LaunchContext& context) {
  add_partials(partials, count, stride, cols, out, context);
}

void launch_add_partials(const double* partials, int64_t count, int64_t stride, int64_t cols, float* out, const LaunchContext& context) {
  add_partials(partials, count, stride, cols, out, context);
}

}  // namespace mbt::cuda

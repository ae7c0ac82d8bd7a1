#include "tests/emulation/kernels/examples.h"

#include "kernels/cuda/device/shared.h"

namespace mbt::cuda {
namespace {

constexpr unsigned kAllLanes = 0xFFFFFFFFU;

__device__ int global_thread() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

__global__ void scale_kernel(float* __restrict__ y, const float* __restrict__ x, float factor, int n) {
  const int i = global_thread();
  if (i < n) y[i] = factor * x[i];
}

__global__ void coordinates_kernel(uint32_t* codes) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  codes[block * (blockDim.x * blockDim.y * blockDim.z) + thread] =
      threadIdx.x | threadIdx.y << 4 | threadIdx.z << 8 | blockIdx.x << 12 | blockIdx.y << 16 | blockIdx.z << 20;
}

struct ReverseShared {
  int values[256];
};
__global__ void __launch_bounds__(256) reverse_kernel(int* y, const int* x) {
  auto& shared = shared_memory<ReverseShared>();
  const int i = global_thread();
  shared.values[threadIdx.x] = x[i];
  __syncthreads();
  y[i] = shared.values[blockDim.x - 1 - threadIdx.x];
}

__device__ float warp_sum(float value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

__global__ void block_sum_kernel(float* sums, const float* x, int n) {
  float* const parts = shared_array<float>(0, 32);
  float sum = 0;
  for (int i = global_thread(); i < n; i += static_cast<int>(gridDim.x * blockDim.x)) sum += x[i];
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  sum = warp_sum(threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0F);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void prefix_sum_kernel(int* y, const int* x) {
  const int lane = static_cast<int>(threadIdx.x);
  int sum = x[lane];
  for (int offset = 1; offset < 32; offset *= 2) {
    const int other = __shfl_up_sync(kAllLanes, sum, offset);
    if (lane >= offset) sum += other;
  }
  y[lane] = sum;
}

__global__ void votes_kernel(uint32_t* out, const int* x) {
  const int value = x[threadIdx.x];
  uint32_t* const mine = out + threadIdx.x * 8;
  mine[0] = __ballot_sync(kAllLanes, value & 1);
  mine[1] = static_cast<uint32_t>(__any_sync(kAllLanes, value > 100));
  mine[2] = static_cast<uint32_t>(__all_sync(kAllLanes, value < 100));
  mine[3] = __match_any_sync(kAllLanes, value);
  mine[4] = static_cast<uint32_t>(__reduce_max_sync(kAllLanes, value));
  mine[5] = static_cast<uint32_t>(__reduce_add_sync(kAllLanes, value));
  mine[6] = static_cast<uint32_t>(__shfl_sync(kAllLanes, value, 3, 8));
  mine[7] = static_cast<uint32_t>(__shfl_down_sync(kAllLanes, value, 2, 16));
}

__global__ void half_warps_kernel(int* out, const int* x) {
  const bool low = threadIdx.x < 16;
  const unsigned mask = low ? 0x0000FFFFU : 0xFFFF0000U;
  int value = x[threadIdx.x];
  for (int round = 0; round < (low ? 3 : 5); ++round) {
    value += __shfl_xor_sync(mask, value, 1);
    __syncwarp(mask);
  }
  __syncwarp();
  out[threadIdx.x] = value;
}

struct HistogramShared {
  unsigned bins[256];
};
__global__ void histogram_kernel(unsigned* bins, const uint8_t* x, int n) {
  auto& shared = shared_memory<HistogramShared>();
  shared.bins[threadIdx.x] = 0;
  __syncthreads();
  for (int i = global_thread(); i < n; i += static_cast<int>(gridDim.x * blockDim.x)) atomicAdd(&shared.bins[x[i]], 1U);
  __syncthreads();
  atomicAdd(&bins[threadIdx.x], shared.bins[threadIdx.x]);
}

__global__ void atomics_kernel(unsigned* out, unsigned long long* wide, float* sum) {
  const unsigned i = static_cast<unsigned>(global_thread());
  atomicMax(&out[0], i);
  atomicMin(&out[1], i);
  atomicOr(&out[2], 1U << (i % 32));
  atomicInc(&out[3], 9U);  // counts 0..9
  atomicExch(&out[4], 7U);
  unsigned seen = out[5];
  for (unsigned expected = seen + 1; expected != seen;) {  // add 2 by compare and swap
    expected = seen;
    seen = atomicCAS(&out[5], expected, expected + 2U);
  }
  atomicAdd(wide, 1ULL << 33);
  atomicAdd(sum, 0.25F);  // exact in any order
}

__global__ void vector_copy_kernel(float* y, const float* x, int n) {
  const int i = global_thread() * 4;
  if (i + 4 > n) return;
  const float4 v = *reinterpret_cast<const float4*>(x + i);
  const uint2 low = make_uint2(__float_as_uint(v.x), __float_as_uint(v.y));
  *reinterpret_cast<uint2*>(y + i) = low;
  *reinterpret_cast<float2*>(y + i + 2) = make_float2(v.z, v.w);
}

__global__ void barrier_votes_kernel(int* out, const int* x) {
  const int value = x[threadIdx.x];
  const int any = __syncthreads_or(value == 5), all = __syncthreads_and(value >= 0), count = __syncthreads_count(value > 1);
  out[threadIdx.x] = any * 100000 + all * 10000 + count;
}

__global__ void many_barriers_kernel(float* out, int rounds) {
  for (int i = 0; i < rounds; ++i) __syncthreads();
  out[global_thread()] = 1;
}

__global__ void empty_threads_kernel(float* out) { out[global_thread()] = 1; }

__global__ void large_shared_kernel(float* out) {
  float* const values = shared_array<float>(48 << 10, 1);
  if (threadIdx.x == 0) *values = 3;
  __syncthreads();
  out[threadIdx.x] = *values;
}

unsigned blocks_for(int n, int threads) { return static_cast<unsigned>((n + threads - 1) / threads); }

}  // namespace

void launch_scale(float* y, const float* x, float factor, int n, cudaStream_t stream) {
  launch("scale", scale_kernel, {blocks_for(n, 128), 128}, stream, y, x, factor, n);
}
void launch_coordinates(uint32_t* codes, dim3 grid, dim3 block) {
  launch("coordinates", coordinates_kernel, {grid, block}, nullptr, codes);
}
void launch_reverse(int* y, const int* x, int n) {
  launch("reverse", reverse_kernel, {blocks_for(n, 256), 256, sizeof(ReverseShared)}, nullptr, y, x);
}
void launch_block_sum(float* sums, const float* x, int n, int threads) {
  launch("block_sum", block_sum_kernel, {4, static_cast<unsigned>(threads), 32 * sizeof(float)}, nullptr, sums, x, n);
}
void launch_prefix_sum(int* y, const int* x) { launch("prefix_sum", prefix_sum_kernel, {1, 32}, nullptr, y, x); }
void launch_votes(uint32_t* out, const int* x) { launch("votes", votes_kernel, {1, 32}, nullptr, out, x); }
void launch_half_warps(int* out, const int* x) { launch("half_warps", half_warps_kernel, {1, 32}, nullptr, out, x); }
void launch_histogram(unsigned* bins, const uint8_t* x, int n) {
  launch("histogram", histogram_kernel, {3, 256, sizeof(HistogramShared)}, nullptr, bins, x, n);
}
void launch_atomics(unsigned* out, unsigned long long* wide, float* sum, int n) {
  launch("atomics", atomics_kernel, {blocks_for(n, 64), 64}, nullptr, out, wide, sum);
}
void launch_vector_copy(float* y, const float* x, int n) {
  launch("vector_copy", vector_copy_kernel, {blocks_for(n / 4, 32), 32}, nullptr, y, x, n);
}
void launch_barrier_votes(int* out, const int* x, int threads) {
  launch("barrier_votes", barrier_votes_kernel, {1, static_cast<unsigned>(threads)}, nullptr, out, x);
}
void launch_many_barriers(float* out, int rounds, int blocks, int threads) {
  launch("many_barriers", many_barriers_kernel, {static_cast<unsigned>(blocks), static_cast<unsigned>(threads)}, nullptr, out, rounds);
}
void launch_empty_threads(float* out, int blocks, int threads) {
  launch("empty_threads", empty_threads_kernel, {static_cast<unsigned>(blocks), static_cast<unsigned>(threads)}, nullptr, out);
}
void launch_large_shared(float* out, size_t shared_bytes) {
  launch("large_shared", large_shared_kernel, {1, 64, shared_bytes}, nullptr, out);
}
void allow_large_shared(size_t bytes) { allow_shared_bytes("large_shared", large_shared_kernel, bytes); }

}  // namespace mbt::cuda

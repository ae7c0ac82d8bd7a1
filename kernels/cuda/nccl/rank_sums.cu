// sum_ranks_kernel      a thread for 16 bytes of the result where all parts are aligned, and one for each element that is left over.
// combine_ranks_kernel  a thread for each element: for small tensors.
// Both keep the order of ranks, so every rank makes the same bits of the same parts.
#include "kernels/cuda/nccl/rank_sums.h"

#include "kernels/cuda/device/pack.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
struct Parts {
  const T* own;
  const T* received;
  int64_t stride;
  int rank, ranks;

  __device__ const T* of(int r) const { return r == rank ? own : received + r * stride; }
};

template <class T>
Parts<T> typed(const RankParts& p) {
  return {static_cast<const T*>(p.own), static_cast<const T*>(p.received), p.stride, p.rank, p.ranks};
}

template <class T, bool kWide>
__device__ void sum_pack(const Parts<T>& parts, float factor, T* out, int64_t i) {
  using P = RowPack<T, kWide>;
  P x = P::at(parts.of(0), i);
  float sums[P::kSize];
#pragma unroll
  for (int k = 0; k < P::kSize; ++k) sums[k] = x[k];
  for (int r = 1; r < parts.ranks; ++r) {
    x = P::at(parts.of(r), i);
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) sums[k] = __fadd_rn(sums[k], x[k]);
  }
  x.set_each([&](int k) { return __fmul_rn(sums[k], factor); });
  x.put(out, i);
}

/// The first `packs` threads take a pack each, the others one element each of the rest. out may be parts.own: a thread writes what it alone
/// has read.
template <class T>
__global__ void __launch_bounds__(kThreads) sum_ranks_kernel(Parts<T> parts, float factor, T* out, int64_t packs, int64_t n) {
  constexpr int kSize = RowPack<T, true>::kSize;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < packs) sum_pack<T, true>(parts, factor, out, i * kSize);
  else if (const int64_t at = packs * kSize + i - packs; at < n) sum_pack<T, false>(parts, factor, out, at);
}

__device__ float larger(float x, float y) { return fmaxf(x, y); }
__device__ double larger(double x, double y) { return fmax(x, y); }
__device__ int32_t larger(int32_t x, int32_t y) { return x < y ? y : x; }
__device__ float added(float x, float y) { return __fadd_rn(x, y); }
__device__ double added(double x, double y) { return x + y; }
/// Wraps around, as two's complement does.
__device__ int32_t added(int32_t x, int32_t y) { return static_cast<int32_t>(static_cast<uint32_t>(x) + static_cast<uint32_t>(y)); }

template <class T, ReduceOp kOp>
__global__ void __launch_bounds__(kThreads) combine_ranks_kernel(Parts<T> parts, T* out, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  T value = parts.of(0)[i];
  for (int r = 1; r < parts.ranks; ++r) {
    if constexpr (kOp == ReduceOp::sum) value = added(value, parts.of(r)[i]);
    else value = larger(value, parts.of(r)[i]);
  }
  out[i] = value;
}

dim3 grid_for(int64_t threads) { return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads)); }

template <class T>
void combine(const RankParts& parts, ReduceOp op, TensorView out, cudaStream_t stream) {
  const auto kernel = op == ReduceOp::sum ? combine_ranks_kernel<T, ReduceOp::sum> : combine_ranks_kernel<T, ReduceOp::max>;
  launch("combine_ranks", kernel, {grid_for(out.size()), dim3(kThreads)}, stream, typed<T>(parts), out.as<T>(), out.size());
}

}  // namespace

void launch_sum_ranks(const RankParts& parts, float factor, TensorView out, cudaStream_t stream) {
  with_act("sum_ranks", out.dtype, [&]<class T>(T*) {
    constexpr int64_t kSize = RowPack<T, true>::kSize;
    const bool is_aligned = rows_are_aligned<T>(parts.ranks > 1 ? parts.stride : kSize, {parts.own, parts.received, out.data});
    const int64_t n = out.size(), packs = is_aligned ? n / kSize : 0;
    launch("sum_ranks", sum_ranks_kernel<T>, {grid_for(packs + n - packs * kSize), dim3(kThreads)}, stream, typed<T>(parts), factor,
           out.as<T>(), packs, n);
  });
}

void launch_combine_ranks(const RankParts& parts, ReduceOp op, TensorView out, cudaStream_t stream) {
  switch (out.dtype) {
    case DType::f32: return combine<float>(parts, op, out, stream);
    case DType::f64: return combine<double>(parts, op, out, stream);
    case DType::i32: return combine<int32_t>(parts, op, out, stream);
    default: throw Error(fmt::format("all_reduce: got {}, expected f32, f64 or i32", name_of(out.dtype)));
  }
}

}  // namespace mbt::cuda

// norm_fwd: RMSNorm and LayerNorm behind the residual addition. Memory-bound: each tensor is read or written once.
//   norm_fwd_kernel           rows of aligned packs that fit into the registers of a warp (several rows a block, no barrier) or of a block:
//                             read once, summed twice for layernorm, written once.
//   norm_fwd_general_kernel   any other width and alignment: a block a row, which passes over it again for each sum.
// The choice depends on width and alignment, never on whether there is a delta: a recomputed norm has the bits of the first.
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {
namespace {

constexpr int kRowsPerBlock = 4;  // where a warp has a row
constexpr int kThreads = 256;     // of a block that has a row, while its threads have packs left
constexpr int kMostThreads = 512;
constexpr int kMostPacks = 4;  // of a thread

template <class T>
struct NormFwd {
  const T* x;       // [rows, cols]
  const T* delta;   // [rows, cols] or null
  T* h;             // [rows, cols] or null; may be x
  const T* weight;  // [cols]
  const T* bias;    // [cols], layernorm
  T* y;             // [rows, cols]
  float* rstd;      // [rows]
  float* mean;      // [rows], layernorm
  int64_t rows, cols;
  float eps;
};

/// Over the threads that share a row.
template <bool kOneWarp>
__device__ float row_sum(float x, float* parts) {
  if constexpr (kOneWarp)
    return warp_sum(x);
  else
    return block_sum(x, parts);
}

template <NormKind kKind>
__device__ float normalised(float h, float mean, float rstd, float weight, float bias) {
  if constexpr (kKind == NormKind::layernorm)
    return (h - mean) * rstd * weight + bias;
  else
    return h * rstd * weight;
}

template <class T, NormKind kKind, int kPacks, bool kOneWarp>
__global__ void __launch_bounds__(kOneWarp ? kWarp* kRowsPerBlock : kMostThreads) norm_fwd_kernel(NormFwd<T> a) {
  using P = RowPack<T, true>;
  float* parts = kOneWarp ? nullptr : shared_array<float>(0, kWarp);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;
  const int cols = static_cast<int>(a.cols), first = static_cast<int>(threadIdx.x) * P::kSize,
            step = static_cast<int>(blockDim.x) * P::kSize;
  const int64_t at = row * a.cols;
  P h[kPacks], delta[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) h[p] = P::at_or_zero(first + p * step < cols, a.x, at + first + p * step);
  if (a.delta != nullptr) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) delta[p] = P::at_or_zero(first + p * step < cols, a.delta, at + first + p * step);
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
#pragma unroll
      for (int k = 0; k < P::kSize; ++k) h[p].set(k, h[p][k] + delta[p][k]);
    }
  }
  if (a.h != nullptr) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (first + p * step < cols) h[p].put(a.h, at + first + p * step);
    }
  }

  float mean = 0;
  if constexpr (kKind == NormKind::layernorm) {
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (first + p * step >= cols) continue;
#pragma unroll
      for (int k = 0; k < P::kSize; ++k) sum += h[p][k];
    }
    mean = row_sum<kOneWarp>(sum, parts) / static_cast<float>(cols);
  }
  float square = 0;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (first + p * step >= cols) continue;
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) square += (h[p][k] - mean) * (h[p][k] - mean);
  }
  const float rstd = 1.0F / sqrtf(row_sum<kOneWarp>(square, parts) / static_cast<float>(cols) + a.eps);
  if (threadIdx.x == 0) {
    a.rstd[row] = rstd;
    if constexpr (kKind == NormKind::layernorm) a.mean[row] = mean;
  }

#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int c = first + p * step;
    if (c >= cols) continue;
    const P weight = P::at(a.weight, c);
    P bias{}, y;
    if constexpr (kKind == NormKind::layernorm) bias = P::at(a.bias, c);
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) y.set(k, normalised<kKind>(h[p][k], mean, rstd, weight[k], bias[k]));
    y.put(a.y, at + c);
  }
}

/// A thread reads only those of h's columns that it has written itself.
template <class T, NormKind kKind>
__global__ void __launch_bounds__(kThreads) norm_fwd_general_kernel(NormFwd<T> a) {
  float* parts = shared_array<float>(0, kWarp);
  const int64_t row = blockIdx.x, at = row * a.cols, first = threadIdx.x;
  if (a.h != nullptr) {
    for (int64_t c = first; c < a.cols; c += kThreads) {
      const float delta = a.delta == nullptr ? 0.0F : load(a.delta, at + c);
      a.delta == nullptr ? static_cast<void>(a.h[at + c] = a.x[at + c]) : store(a.h, at + c, load(a.x, at + c) + delta);
    }
  }
  const T* h = a.h == nullptr ? a.x : a.h;
  float mean = 0;
  if constexpr (kKind == NormKind::layernorm) {
    float sum = 0;
    for (int64_t c = first; c < a.cols; c += kThreads) sum += load(h, at + c);
    mean = block_sum(sum, parts) / static_cast<float>(a.cols);
  }
  float square = 0;
  for (int64_t c = first; c < a.cols; c += kThreads) square += (load(h, at + c) - mean) * (load(h, at + c) - mean);
  const float rstd = 1.0F / sqrtf(block_sum(square, parts) / static_cast<float>(a.cols) + a.eps);
  if (threadIdx.x == 0) {
    a.rstd[row] = rstd;
    if constexpr (kKind == NormKind::layernorm) a.mean[row] = mean;
  }
  for (int64_t c = first; c < a.cols; c += kThreads) {
    const float bias = kKind == NormKind::layernorm ? load(a.bias, c) : 0.0F;
    store(a.y, at + c, normalised<kKind>(load(h, at + c), mean, rstd, load(a.weight, c), bias));
  }
}

template <class T, NormKind kKind, int kPacks>
void launch_packed(const NormFwd<T>& a, int64_t packs, cudaStream_t stream) {
  if (packs <= kWarp * kPacks) {
    const dim3 grid(static_cast<unsigned>((a.rows + kRowsPerBlock - 1) / kRowsPerBlock));
    launch("norm_fwd", norm_fwd_kernel<T, kKind, kPacks, true>, {grid, dim3(kWarp, kRowsPerBlock)}, stream, a);
    return;
  }
  const int64_t warps = (packs + kWarp * kPacks - 1) / (kWarp * kPacks);
  launch("norm_fwd", norm_fwd_kernel<T, kKind, kPacks, false>,
         {dim3(static_cast<unsigned>(a.rows)), dim3(static_cast<unsigned>(warps * kWarp)), sizeof(float) * kWarp}, stream, a);
}

template <class T, NormKind kKind>
void launch_kind(const NormFwd<T>& a, cudaStream_t stream) {
  const int64_t packs = a.cols / RowPack<T, true>::kSize;
  const bool is_aligned = rows_are_aligned<T>(a.cols, {a.x, a.delta, a.h, a.weight, a.bias, a.y});
  if (!is_aligned || packs > kMostThreads * kMostPacks) {
    const dim3 grid(static_cast<unsigned>(a.rows));
    launch("norm_fwd_general", norm_fwd_general_kernel<T, kKind>, {grid, dim3(kThreads), sizeof(float) * kWarp}, stream, a);
  } else if (packs <= kWarp || (packs > kWarp * kMostPacks && packs <= kThreads)) {
    launch_packed<T, kKind, 1>(a, packs, stream);
  } else if (packs <= kWarp * 2 || (packs > kWarp * kMostPacks && packs <= kThreads * 2)) {
    launch_packed<T, kKind, 2>(a, packs, stream);
  } else {
    launch_packed<T, kKind, kMostPacks>(a, packs, stream);
  }
}

}  // namespace

void launch_norm_fwd(const NormFwdArgs& args, const LaunchContext& context) {
  if (!args.h.empty()) expect_tensor("norm_fwd", "h", args.h, args.x.dtype, args.x.shape);
  expect_tensor("norm_fwd", "y", args.y, args.x.dtype, args.x.shape);
  with_act("norm_fwd", args.x.dtype, [&]<class T>(T*) {
    const NormFwd<T> a{args.x.as<T>(),        args.delta.as<T>(),    args.h.as<T>(), args.weight.as<T>(), args.bias.as<T>(), args.y.as<T>(),
                       args.rstd.as<float>(), args.mean.as<float>(), args.x.rows(),  args.x.cols(),       args.eps};
    args.kind == NormKind::layernorm ? launch_kind<T, NormKind::layernorm>(a, context.stream)
                                     : launch_kind<T, NormKind::rmsnorm>(a, context.stream);
  });
}

}  // namespace mbt::cuda

// norm_fwd: RMSNorm and LayerNorm behind the residual addition. Memory-bound: each tensor is read or written once.
//   norm_fwd_kernel           rows of aligned packs that fit into the registers of a warp (several rows a block, no barrier) or of a block:
//                             read once, summed twice for layernorm, written once.
//   norm_fwd_general_kernel   any other width and alignment: a block a row, which passes over it again for each sum.
// Where y is quantized on the way (device/output_quantizer.h), fewer blocks take several rows each, so that there are few maxima.
// The choice depends on width and alignment, never on whether there is a delta: a recomputed norm has the bits of the first.
#include <algorithm>

#include "kernels/cuda/device/output_quantizer.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/runtime/choose.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kRowsPerBlock = 4;  // where a warp has a row
constexpr int kThreads = 256;     // of a block that has a row, while its threads have packs left
constexpr int kMostThreads = 512;
constexpr int kMostPacks = 4;           // of a thread
constexpr int kResidentThreads = 2048;  // of a multiprocessor

template <class T>
struct NormFwd {
  const T* x;       // [rows, cols]
  const T* delta;   // [rows, cols] or null
  T* h;             // [rows, cols] or null; may be x
  const T* weight;  // [cols]
  const T* bias;    // [cols], layernorm
  T* y;             // [rows, cols]; null: only its codes are wanted
  float* rstd;      // [rows]
  float* mean;      // [rows], layernorm
  int64_t rows, cols;
  float eps;
};

/// Over the threads that share a row.
template <bool kOneWarp>
__device__ float row_sum(float x, float* parts) {
  if constexpr (kOneWarp) return warp_sum(x);
  else return block_sum(x, parts);
}

template <NormKind kKind>
__device__ float normalized(float h, float mean, float rstd, float weight, float bias) {
  if constexpr (kKind == NormKind::layernorm) return (h - mean) * rstd * weight + bias;
  else return h * rstd * weight;
}

/// One row, for the threads that share it.
template <class T, NormKind kKind, int kPacks, bool kOneWarp, bool kFused>
__device__ void norm_row(const NormFwd<T>& a, int64_t row, float* parts, OutputQuantizer<kFused>& quantizer) {
  using P = RowPack<T, true>;
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
    for (int p = 0; p < kPacks; ++p) h[p].set_each([&](int k) { return h[p][k] + delta[p][k]; });
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
    y.set_each([&](int k) { return normalized<kKind>(h[p][k], mean, rstd, weight[k], bias[k]); });
    if (!kFused || a.y != nullptr) y.put(a.y, at + c);
    quantizer.add(y, at + c);
  }
}

template <class T, NormKind kKind, int kPacks, bool kOneWarp, bool kFused>
__global__ void __launch_bounds__(kOneWarp ? kWarp* kRowsPerBlock : kMostThreads) norm_fwd_kernel(NormFwd<T> a, FusedQuant quant) {
  float* parts = kOneWarp && !kFused ? nullptr : shared_array<float>(0, kWarp);
  OutputQuantizer<kFused> quantizer(quant);
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if constexpr (kFused) {
    for (; row < a.rows; row += static_cast<int64_t>(gridDim.x) * blockDim.y)
      norm_row<T, kKind, kPacks, kOneWarp>(a, row, parts, quantizer);
    quantizer.finish(parts);
  } else {
    if (row < a.rows) norm_row<T, kKind, kPacks, kOneWarp>(a, row, parts, quantizer);
  }
}

/// A thread reads only those of h's columns that it has written itself.
template <class T, NormKind kKind, bool kFused>
__device__ void norm_row_general(const NormFwd<T>& a, int64_t row, float* parts, OutputQuantizer<kFused>& quantizer) {
  const int64_t at = row * a.cols, first = threadIdx.x;
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
    Pack<T, 1> y;
    y.set(0, normalized<kKind>(load(h, at + c), mean, rstd, load(a.weight, c), bias));
    if (!kFused || a.y != nullptr) y.put(a.y, at + c);
    quantizer.add(y, at + c);
  }
}

template <class T, NormKind kKind, bool kFused>
__global__ void __launch_bounds__(kThreads) norm_fwd_general_kernel(NormFwd<T> a, FusedQuant quant) {
  float* parts = shared_array<float>(0, kWarp);
  OutputQuantizer<kFused> quantizer(quant);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) norm_row_general<T, kKind>(a, row, parts, quantizer);
  if constexpr (kFused) quantizer.finish(parts);
}

/// How rows lie over threads.
struct Layout {
  int packs;  // of a thread; 0: the kernel for any row
  bool is_one_warp;
  dim3 block;
};

/// packs: of a row; 0: it is not aligned.
Layout layout_of(int64_t packs) {
  if (packs == 0 || packs > kMostThreads * kMostPacks) return {0, false, dim3(kThreads)};
  int of_thread = kMostPacks;
  if (packs <= kWarp || (packs > kWarp * kMostPacks && packs <= kThreads)) of_thread = 1;
  else if (packs <= kWarp * 2 || (packs > kWarp * kMostPacks && packs <= kThreads * 2)) of_thread = 2;
  if (packs <= kWarp * of_thread) return {of_thread, true, dim3(kWarp, kRowsPerBlock)};
  const int64_t warps = (packs + kWarp * of_thread - 1) / (kWarp * of_thread);
  return {of_thread, false, dim3(static_cast<unsigned>(warps * kWarp))};
}

template <class T>
using Kernel = void (*)(NormFwd<T>, FusedQuant);

/// The one instance that runs. f32 is never fused (QuantizedOutput).
template <class T>
Kernel<T> kernel_of(NormKind kind, const Layout& layout, bool is_fused) {
  return choose(
      [&]<NormKind kKind, int kPacks, bool kOneWarp, bool kFusedWanted>(Is<kKind>, Is<kPacks>, Is<kOneWarp>,
                                                                        Is<kFusedWanted>) -> Kernel<T> {
        constexpr bool kFused = kFusedWanted && sizeof(T) < sizeof(float);
        if constexpr (kPacks == 0) return norm_fwd_general_kernel<T, kKind, kFused>;
        else return norm_fwd_kernel<T, kKind, kPacks, kOneWarp, kFused>;
      },
      OneOf<NormKind::layernorm, NormKind::rmsnorm>{kind}, OneOf<0, 1, 2, kMostPacks>{layout.packs}, flag(layout.is_one_warp),
      flag(is_fused));
}

}  // namespace

void launch_norm_fwd(const NormFwdArgs& args, const LaunchContext& context) {
  if (!args.h.empty()) expect_tensor(op_name(args), "h", args.h, args.x.dtype, args.x.shape);
  expect_tensor(op_name(args), "y", args.y, args.x.dtype, args.x.shape);
  QuantizedOutput y(args.y, args.quantized, context);
  with_act(op_name(args), args.x.dtype, [&]<class T>(T*) {
    const NormFwd<T> a{args.x.as<T>(),
                       args.delta.as<T>(),
                       args.h.as<T>(),
                       args.weight.as<T>(),
                       args.bias.as<T>(),
                       y.plain<T>(args.y, args.keeps_y),
                       args.rstd.as<float>(),
                       args.mean.as<float>(),
                       args.x.rows(),
                       args.x.cols(),
                       args.eps};
    const bool is_aligned = rows_are_aligned<T>(a.cols, {a.x, a.delta, a.h, a.weight, a.bias, args.y.data});
    const Layout layout = layout_of(is_aligned ? a.cols / RowPack<T, true>::kSize : 0);
    int64_t blocks = (a.rows + layout.block.y - 1) / layout.block.y;  // without fusion a row a warp or a block, else as fill the device
    if (y.is_fused())
      blocks = std::min<int64_t>(blocks, int64_t{kResidentThreads} / (layout.block.x * layout.block.y) * context.multiprocessors);
    const size_t shared_bytes = layout.is_one_warp && !y.is_fused() ? 0 : sizeof(float) * kWarp;
    launch(layout.packs == 0 ? "norm_fwd_general" : "norm_fwd", kernel_of<T>(args.kind, layout, y.is_fused()),
           {dim3(static_cast<unsigned>(blocks)), layout.block, shared_bytes}, context.stream, a, y.quant(blocks));
  });
  y.finish();
}

}  // namespace mbt::cuda

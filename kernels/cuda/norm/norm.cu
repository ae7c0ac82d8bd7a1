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

/// y, and how it is quantized; without fusion a row a warp or a block, else so many blocks as fill the device.
template <class T>
struct NormFwdLaunch {
  NormFwd<T> a;
  const NormFwdArgs& args;
  Fusion fusion;
  const LaunchContext& context;

  template <bool kFused>
  void run(const char* name, void (*kernel)(NormFwd<T>, FusedQuant), dim3 block, size_t shared_bytes) const {
    int64_t blocks = (a.rows + block.y - 1) / block.y;
    if (kFused) blocks = std::min<int64_t>(blocks, int64_t{kResidentThreads} / (block.x * block.y) * context.multiprocessors);
    float* parts = fusion == Fusion::amax ? context.scratch.get<float>(static_cast<size_t>(blocks)) : nullptr;
    launch(name, kernel, {dim3(static_cast<unsigned>(blocks)), block, shared_bytes}, context.stream, a,
           fused_quant(args.quantized, fusion, parts));
    launch_rest_of_quantize(args.y, args.quantized, fusion, {parts, static_cast<int>(blocks)}, context);
  }
};

template <class T, NormKind kKind, int kPacks, bool kFused>
void launch_packed(const NormFwdLaunch<T>& l, int64_t packs) {
  constexpr size_t kShared = sizeof(float) * kWarp;
  if (packs <= kWarp * kPacks) {
    l.template run<kFused>("norm_fwd", norm_fwd_kernel<T, kKind, kPacks, true, kFused>, dim3(kWarp, kRowsPerBlock), kFused ? kShared : 0);
    return;
  }
  const int64_t warps = (packs + kWarp * kPacks - 1) / (kWarp * kPacks);
  l.template run<kFused>("norm_fwd", norm_fwd_kernel<T, kKind, kPacks, false, kFused>, dim3(static_cast<unsigned>(warps * kWarp)), kShared);
}

template <class T, NormKind kKind, bool kFused>
void launch_kind(const NormFwdLaunch<T>& l) {
  const NormFwd<T>& a = l.a;
  const int64_t packs = a.cols / RowPack<T, true>::kSize;
  const bool is_aligned = rows_are_aligned<T>(a.cols, {a.x, a.delta, a.h, a.weight, a.bias, l.args.y.data});
  if (!is_aligned || packs > kMostThreads * kMostPacks) {
    l.template run<kFused>("norm_fwd_general", norm_fwd_general_kernel<T, kKind, kFused>, dim3(kThreads), sizeof(float) * kWarp);
  } else if (packs <= kWarp || (packs > kWarp * kMostPacks && packs <= kThreads)) {
    launch_packed<T, kKind, 1, kFused>(l, packs);
  } else if (packs <= kWarp * 2 || (packs > kWarp * kMostPacks && packs <= kThreads * 2)) {
    launch_packed<T, kKind, 2, kFused>(l, packs);
  } else {
    launch_packed<T, kKind, kMostPacks, kFused>(l, packs);
  }
}

template <class T, NormKind kKind>
void launch_kind(const NormFwdLaunch<T>& l) {
  if constexpr (sizeof(T) == sizeof(float)) return launch_kind<T, kKind, false>(l);  // fusion_of() says none
  else l.fusion == Fusion::none ? launch_kind<T, kKind, false>(l) : launch_kind<T, kKind, true>(l);
}

}  // namespace

void launch_norm_fwd(const NormFwdArgs& args, const LaunchContext& context) {
  if (!args.h.empty()) expect_tensor("norm_fwd", "h", args.h, args.x.dtype, args.x.shape);
  expect_tensor("norm_fwd", "y", args.y, args.x.dtype, args.x.shape);
  const Fusion fusion = fusion_of(args.quantized, args.y);
  with_act("norm_fwd", args.x.dtype, [&]<class T>(T*) {
    T* y = fusion == Fusion::codes && !args.keeps_y ? nullptr : args.y.as<T>();
    const NormFwdLaunch<T> l{{args.x.as<T>(), args.delta.as<T>(), args.h.as<T>(), args.weight.as<T>(), args.bias.as<T>(), y,
                              args.rstd.as<float>(), args.mean.as<float>(), args.x.rows(), args.x.cols(), args.eps},
                             args,
                             fusion,
                             context};
    args.kind == NormKind::layernorm ? launch_kind<T, NormKind::layernorm>(l) : launch_kind<T, NormKind::rmsnorm>(l);
  });
}

}  // namespace mbt::cuda

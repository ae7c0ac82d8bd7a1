// norm_bwd: the input gradient row by row; the weight gradients in two levels, partial rows of blocks first, which add_partials then adds
// up.
//   norm_bwd_kernel           rows of aligned packs that fit into the registers of a warp (several rows a block) or of a block. A thread
//                             keeps its columns' weight gradients in registers over all rows of its block, and, where registers last, has
//                             loads of the next row under way while it sums this one.
//   norm_bwd_means_kernel, norm_bwd_tile_kernel   any other width and alignment: the rows' means first, then tiles of columns, whose weight
//                             gradients stay in registers however wide a row is. d_y and h are read twice.
// The sums' order depends on the shape and on the device. d_h is quantized on the way where that is wanted (device/output_quantizer.h).
#include <algorithm>

#include "kernels/cuda/device/output_quantizer.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/runtime/choose.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kRowsAtOnce = 8;  // of a block whose warps have rows of their own
constexpr int kThreads = 256;   // of the kernels for any row
constexpr int kMostPacks = 2;   // of a thread: 16 values of 16 bits cost 32 registers for layernorm's gradients alone
/// Of a block whose threads have so many packs, so that registers last: two blocks a multiprocessor, or one.
constexpr int most_threads(int packs) { return packs == 1 ? 384 : 512; }
constexpr int64_t kRowsPerGroup = 8;  // at least: fewer, and the partial rows would be a good part of what is read and written

template <class T>
struct NormBwd {
  const T* d_y;       // [rows, cols]
  const T* h;         // [rows, cols]
  const T* weight;    // [cols]
  const float* rstd;  // [rows]
  const float* mean;  // [rows], layernorm
  T* d_h;             // [rows, cols]
  float* partials;    // [blocks, cols], layernorm: [blocks, 2, cols]: d_weight, d_bias
  int64_t rows, cols;
  bool accumulate;
};

template <NormKind kKind>
constexpr int kGradients = kKind == NormKind::layernorm ? 2 : 1;

/// Registers last for the next row's operands.
template <NormKind kKind, int kPacks>
constexpr bool kAhead = kKind == NormKind::rmsnorm || kPacks == 1;

/// Both sums over the threads that share a row. One barrier: calls that follow each other bring different `parts`.
template <bool kOneWarp>
__device__ float2 row_sums(float x, float y, float2* parts) {
  x = warp_sum(x);
  y = warp_sum(y);
  if constexpr (kOneWarp) return make_float2(x, y);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  if (lane == 0) parts[warp] = make_float2(x, y);
  __syncthreads();
  const float2 part = lane < static_cast<int>(blockDim.x) / kWarp ? parts[lane] : make_float2(0.0F, 0.0F);
  return make_float2(warp_sum(part.x), warp_sum(part.y));
}

/// d_h of one element, g = d_y * weight.
template <NormKind kKind>
__device__ float input_gradient(float g, float x_hat, float rstd, float2 means) {
  return rstd * ((kKind == NormKind::layernorm ? g - means.x : g) - x_hat * means.y);
}

/// The block's partial row. Where its warps had rows of their own, they add theirs in order, in shared memory.
template <class P, NormKind kKind, int kPacks, bool kOneWarp>
__device__ void put_partials(const float (&sums)[kGradients<kKind>][kPacks][P::kSize], int cols, float* shared, float* partials) {
  using Sums = Pack<float, P::kSize>;
  const int first = static_cast<int>(threadIdx.x) * P::kSize, step = static_cast<int>(blockDim.x) * P::kSize;
  float* to = kOneWarp ? shared : partials + static_cast<int64_t>(blockIdx.x) * kGradients<kKind> * cols;
  for (int turn = 0; turn < static_cast<int>(blockDim.y); ++turn) {
    if (turn == static_cast<int>(threadIdx.y)) {
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        if (first + p * step >= cols) continue;
#pragma unroll
        for (int g = 0; g < kGradients<kKind>; ++g) {
          Sums total{};
          if (turn > 0) total = Sums::at(to, g * cols + first + p * step);
#pragma unroll
          for (int k = 0; k < P::kSize; ++k) total.elements[k] += sums[g][p][k];
          total.put(to, g * cols + first + p * step);
        }
      }
    }
    if constexpr (kOneWarp) __syncthreads();
  }
  if constexpr (kOneWarp) {
    const int count = kGradients<kKind> * cols, thread = static_cast<int>(threadIdx.y) * kWarp + static_cast<int>(threadIdx.x);
    for (int c = thread; c < count; c += kWarp * kRowsAtOnce) partials[static_cast<int64_t>(blockIdx.x) * count + c] = shared[c];
  }
}

template <class P, NormKind kKind, int kPacks>
struct RowOperands {
  P d_y[kPacks], h[kPacks];
  float rstd, mean;

  template <class T>
  __device__ void load_statistics(const NormBwd<T>& a, int64_t row) {
    rstd = a.rstd[row];
    mean = kKind == NormKind::layernorm ? a.mean[row] : 0.0F;
  }
  template <class T>
  __device__ void load_row(const NormBwd<T>& a, int64_t row, int first, int step) {
    if constexpr (kKind == NormKind::rmsnorm) load_statistics(a, row);
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int c = first + p * step;
      d_y[p] = P::at_or_zero(c < a.cols, a.d_y, row * a.cols + c);
      h[p] = P::at_or_zero(c < a.cols, a.h, row * a.cols + c);
    }
  }
};

template <class T, NormKind kKind, int kPacks, bool kOneWarp, bool kFused>
__global__ void __launch_bounds__(kOneWarp ? kWarp* kRowsAtOnce : most_threads(kPacks), kPacks == 1 ? 2 : 1)
    norm_bwd_kernel(NormBwd<T> a, FusedQuant quant) {
  using P = RowPack<T, true>;
  float* shared = shared_array<float>(0, kOneWarp ? static_cast<size_t>(kGradients<kKind> * a.cols) : 4 * kWarp);
  OutputQuantizer<kFused> quantizer(quant);
  const int cols = static_cast<int>(a.cols), first = static_cast<int>(threadIdx.x) * P::kSize,
            step = static_cast<int>(blockDim.x) * P::kSize;
  const int64_t groups = static_cast<int64_t>(gridDim.x) * blockDim.y;
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  float sums[kGradients<kKind>][kPacks][P::kSize] = {};  // d_weight, d_bias
  P weight[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) weight[p] = P::at_or_zero(first + p * step < cols, a.weight, first + p * step);
  RowOperands<P, kKind, kPacks> now{}, next{};
  if (kAhead<kKind, kPacks> && row < a.rows) now.load_row(a, row, first, step);
  for (int parity = 0; row < a.rows; row += groups, parity ^= 1) {
    if constexpr (kKind == NormKind::layernorm) now.load_statistics(a, row);  // two of the next row's would be one register too many
    if constexpr (!kAhead<kKind, kPacks>) now.load_row(a, row, first, step);
    else if (row + groups < a.rows) next.load_row(a, row + groups, first, step);
    P d_h[kPacks];  // under way, all of them, before this row's sums wait for its operands
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int c = first + p * step;
      d_h[p] = P::at_or_zero(a.accumulate && c < cols, a.d_h, row * a.cols + c);
    }
    const float rstd = now.rstd, mean = now.mean;
    float sum = 0, dot = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (first + p * step >= cols) continue;
#pragma unroll
      for (int k = 0; k < P::kSize; ++k) {
        const float d_y = now.d_y[p][k], x_hat = (now.h[p][k] - mean) * rstd, g = d_y * weight[p][k];
        dot += g * x_hat;
        sums[0][p][k] += d_y * x_hat;
        if constexpr (kKind == NormKind::layernorm) sum += g, sums[1][p][k] += d_y;
      }
    }
    float2 means = row_sums<kOneWarp>(sum, dot, reinterpret_cast<float2*>(shared) + parity * kWarp);
    means = make_float2(means.x / static_cast<float>(cols), means.y / static_cast<float>(cols));
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (first + p * step >= cols) continue;
      d_h[p].set_each([&](int k) {
        const float x_hat = (now.h[p][k] - mean) * rstd;
        return d_h[p][k] + input_gradient<kKind>(now.d_y[p][k] * weight[p][k], x_hat, rstd, means);
      });
      d_h[p].put(a.d_h, row * a.cols + first + p * step);
      quantizer.add(d_h[p], row * a.cols + first + p * step);
    }
    if constexpr (kAhead<kKind, kPacks>) now = next;
  }
  put_partials<P, kKind, kPacks, kOneWarp>(sums, cols, shared, a.partials);
  quantizer.finish(shared);
}

/// means[row] = the means of g and of g * x_hat over the row. A block a row.
template <class T, NormKind kKind, bool kWide>
__global__ void __launch_bounds__(kThreads) norm_bwd_means_kernel(NormBwd<T> a, float2* __restrict__ means) {
  using P = RowPack<T, kWide>;
  float2* parts = shared_array<float2>(0, 2 * kWarp);
  int parity = 0;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x, parity ^= 1) {
    const float rstd = a.rstd[row], mean = kKind == NormKind::layernorm ? a.mean[row] : 0.0F;
    float sum = 0, dot = 0;
#pragma unroll 2
    for (int64_t c = static_cast<int64_t>(threadIdx.x) * P::kSize; c < a.cols; c += kThreads * P::kSize) {
      const P d_y = P::at(a.d_y, row * a.cols + c), h = P::at(a.h, row * a.cols + c), weight = P::at(a.weight, c);
#pragma unroll
      for (int k = 0; k < P::kSize; ++k) {
        const float g = d_y[k] * weight[k];
        dot += g * ((h[k] - mean) * rstd);
        if constexpr (kKind == NormKind::layernorm) sum += g;
      }
    }
    const float2 sums = row_sums<false>(sum, dot, parts + parity * kWarp);
    if (threadIdx.x == 0) means[row] = make_float2(sums.x / static_cast<float>(a.cols), sums.y / static_cast<float>(a.cols));
  }
}

/// A warp of columns' packs a block, whose warps take rows in turn; blockIdx.y is the chunk of rows, and its partial row the block's.
template <class T, NormKind kKind, bool kWide, bool kFused>
__global__ void __launch_bounds__(kThreads)
    norm_bwd_tile_kernel(NormBwd<T> a, const float2* __restrict__ means, int64_t rows_per_chunk, FusedQuant quant) {
  using P = RowPack<T, kWide>;
  constexpr int kSums = kGradients<kKind> * P::kSize;
  float* shared = shared_array<float>(0, kRowsAtOnce * kSums * kWarp);
  const int lane = static_cast<int>(threadIdx.x), group = static_cast<int>(threadIdx.y);
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * kWarp + lane) * P::kSize;
  const int64_t begin = blockIdx.y * rows_per_chunk, end = min(begin + rows_per_chunk, a.rows);
  float sums[kSums] = {};  // d_weight, d_bias
  OutputQuantizer<kFused> quantizer(quant);
  if (c < a.cols) {
    const P weight = P::at(a.weight, c);
#pragma unroll 2
    for (int64_t row = begin + group; row < end; row += kRowsAtOnce) {
      const int64_t at = row * a.cols + c;
      const P d_y = P::at(a.d_y, at), h = P::at(a.h, at);
      P d_h = P::at_or_zero(a.accumulate, a.d_h, at);
      const float rstd = a.rstd[row], mean = kKind == NormKind::layernorm ? a.mean[row] : 0.0F;
      const float2 row_means = means[row];
      d_h.set_each([&](int k) {
        const float x_hat = (h[k] - mean) * rstd;
        sums[k] += d_y[k] * x_hat;
        if constexpr (kKind == NormKind::layernorm) sums[P::kSize + k] += d_y[k];
        return d_h[k] + input_gradient<kKind>(d_y[k] * weight[k], x_hat, rstd, row_means);
      });
      d_h.put(a.d_h, at);
      quantizer.add(d_h, at);
    }
  }
#pragma unroll
  for (int k = 0; k < kSums; ++k) shared[(group * kSums + k) * kWarp + lane] = sums[k];  // lanes side by side: no bank twice
  __syncthreads();
  if (group == 0 && c < a.cols) {
    float* to = a.partials + static_cast<int64_t>(blockIdx.y) * kGradients<kKind> * a.cols + c;
#pragma unroll
    for (int k = 0; k < kSums; ++k) {
      for (int other = 1; other < kRowsAtOnce; ++other) sums[k] += shared[(other * kSums + k) * kWarp + lane];
      to[k / P::kSize * a.cols + k % P::kSize] = sums[k];
    }
  }
  quantizer.finish(shared);
}

/// Blocks that fill the device `per_multiprocessor` times, of `rows_at_once` rows each, with some rows for each.
int64_t blocks_for(int64_t rows, int64_t rows_at_once, int64_t per_multiprocessor, const LaunchContext& context) {
  const int64_t useful = (rows + rows_at_once * kRowsPerGroup - 1) / (rows_at_once * kRowsPerGroup);
  return std::min(useful, per_multiprocessor * context.multiprocessors);
}

/// Rows that fit into registers: how they lie over threads, and how many blocks share them.
struct RowPlan {
  int packs;  // of a thread
  bool is_one_warp;
  dim3 block;
  int64_t blocks;
};

/// packs: of a row.
RowPlan plan_rows(int64_t rows, int64_t packs, const LaunchContext& context) {
  const bool is_one = packs <= kWarp || (packs > kWarp * kMostPacks && packs <= most_threads(1));
  const int of_thread = is_one ? 1 : kMostPacks;
  if (packs <= kWarp * of_thread) return {of_thread, true, dim3(kWarp, kRowsAtOnce), blocks_for(rows, kRowsAtOnce, 4, context)};
  const int64_t threads = (packs + kWarp * of_thread - 1) / (kWarp * of_thread) * kWarp;
  const int64_t per_multiprocessor = std::clamp<int64_t>((is_one ? 2 : 1) * most_threads(of_thread) / threads, 1, 8);
  return {of_thread, false, dim3(static_cast<unsigned>(threads)), blocks_for(rows, 1, per_multiprocessor, context)};
}

/// Any other rows: tiles of columns by chunks of rows.
struct TilePlan {
  int64_t tiles, rows_per_chunk, chunks;
};

/// tile: columns of one.
TilePlan plan_tiles(int64_t rows, int64_t cols, int64_t tile, const LaunchContext& context) {
  constexpr int64_t kMostChunks = 1024, kBlocksPerMultiprocessor = 8;
  const int64_t tiles = (cols + tile - 1) / tile;
  const int64_t wanted = std::clamp<int64_t>(kBlocksPerMultiprocessor * context.multiprocessors / tiles, 1, kMostChunks);
  const int64_t rows_per_chunk = std::max<int64_t>((rows + wanted - 1) / wanted, 2 * kRowsAtOnce);
  return {tiles, rows_per_chunk, (rows + rows_per_chunk - 1) / rows_per_chunk};
}

using Kinds = OneOf<NormKind::layernorm, NormKind::rmsnorm>;

// The one instance that runs, of each kernel. f32 is never fused (QuantizedOutput).
template <class T>
auto rows_kernel_of(NormKind kind, const RowPlan& plan, bool is_fused) {
  using Kernel = void (*)(NormBwd<T>, FusedQuant);
  return choose(
      [&]<NormKind kKind, int kPacks, bool kOneWarp, bool kFused>(Is<kKind>, Is<kPacks>, Is<kOneWarp>, Is<kFused>) -> Kernel {
        return norm_bwd_kernel < T, kKind, kPacks, kOneWarp, kFused && sizeof(T)<sizeof(float)>;
      },
      Kinds{kind}, OneOf<1, kMostPacks>{plan.packs}, flag(plan.is_one_warp), flag(is_fused));
}
template <class T>
auto means_kernel_of(NormKind kind, bool is_wide) {
  using Kernel = void (*)(NormBwd<T>, float2*);
  return choose([&]<NormKind kKind, bool kWide>(Is<kKind>, Is<kWide>) -> Kernel { return norm_bwd_means_kernel<T, kKind, kWide>; },
                Kinds{kind}, flag(is_wide));
}
template <class T>
auto tile_kernel_of(NormKind kind, bool is_wide, bool is_fused) {
  using Kernel = void (*)(NormBwd<T>, const float2*, int64_t, FusedQuant);
  return choose(
      [&]<NormKind kKind, bool kWide, bool kFused>(Is<kKind>, Is<kWide>, Is<kFused>) -> Kernel {
        return norm_bwd_tile_kernel < T, kKind, kWide, kFused && sizeof(T)<sizeof(float)>;
      },
      Kinds{kind}, flag(is_wide), flag(is_fused));
}

/// The second level: partial rows [rows, 1 or 2, cols] into the weight gradients.
void add_weight_gradients(const NormBwdArgs& args, const float* partials, int64_t rows, const LaunchContext& context) {
  const bool has_bias = args.kind == NormKind::layernorm;
  const int64_t cols = args.h.cols(), stride = (has_bias ? 2 : 1) * cols;
  launch_add_partials(partials, rows, stride, cols, args.d_weight.as<float>(), context);
  if (has_bias) launch_add_partials(partials + cols, rows, stride, cols, args.d_bias.as<float>(), context);
}

}  // namespace

void launch_norm_bwd(const NormBwdArgs& args, const LaunchContext& context) {
  QuantizedOutput d_h(args.d_h, args.quantized, context);
  if (args.h.size() == 0) return d_h.finish();
  with_act(op_name(args), args.h.dtype, [&]<class T>(T*) {
    NormBwd<T> a{args.d_y.as<T>(), args.h.as<T>(), args.weight.as<T>(), args.rstd.as<float>(), args.mean.as<float>(),
                 args.d_h.as<T>(), nullptr,        args.h.rows(),       args.h.cols(),         args.accumulate};
    const int64_t gradients = args.kind == NormKind::layernorm ? 2 : 1, stride = gradients * a.cols;
    const int64_t size = RowPack<T, true>::kSize, packs = a.cols / size;
    const bool is_wide = rows_are_aligned<T>(a.cols, {a.d_y, a.h, a.weight, a.d_h});
    if (is_wide && packs <= most_threads(kMostPacks) * kMostPacks) {
      const RowPlan plan = plan_rows(a.rows, packs, context);
      a.partials = context.scratch.get<float>(static_cast<size_t>(plan.blocks * stride + plan.blocks));
      const size_t shared_floats = plan.is_one_warp ? static_cast<size_t>(stride) : size_t{4} * kWarp;
      launch("norm_bwd", rows_kernel_of<T>(args.kind, plan, d_h.is_fused()),
             {dim3(static_cast<unsigned>(plan.blocks)), plan.block, sizeof(float) * shared_floats}, context.stream, a,
             d_h.quant(plan.blocks, a.partials + plan.blocks * stride));
      return add_weight_gradients(args, a.partials, plan.blocks, context);
    }
    const int64_t tile = kWarp * (is_wide ? size : 1);
    const TilePlan plan = plan_tiles(a.rows, a.cols, tile, context);
    const int64_t partials = plan.chunks * stride, even = partials + partials % 2;
    a.partials = context.scratch.get<float>(static_cast<size_t>(even + 2 * a.rows + plan.tiles * plan.chunks));
    auto* means = reinterpret_cast<float2*>(a.partials + even);
    launch(
        "norm_bwd_means", means_kernel_of<T>(args.kind, is_wide),
        {dim3(static_cast<unsigned>(std::min<int64_t>(a.rows, 8 * context.multiprocessors))), dim3(kThreads), sizeof(float2) * 2 * kWarp},
        context.stream, a, means);
    launch("norm_bwd_tile", tile_kernel_of<T>(args.kind, is_wide, d_h.is_fused()),
           {dim3(static_cast<unsigned>(plan.tiles), static_cast<unsigned>(plan.chunks)), dim3(kWarp, kRowsAtOnce),
            sizeof(float) * kRowsAtOnce * static_cast<size_t>(gradients * tile)},
           context.stream, a, means, plan.rows_per_chunk, d_h.quant(plan.tiles * plan.chunks, a.partials + even + 2 * a.rows));
    add_weight_gradients(args, a.partials, plan.chunks, context);
  });
  d_h.finish();
}

}  // namespace mbt::cuda

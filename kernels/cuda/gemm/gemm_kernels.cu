#include "kernels/cuda/gemm/gemm_kernels.h"

#include <algorithm>

#include "core/numerics/scaling.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/gemm/gemm_product.h"
#include "kernels/cuda/quantize/quantize_parts.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256, kBlocksPerMultiprocessor = 8;

// -- scales ------------------------------------------------------------------------------------------------------------------------------

template <class T>
__device__ T scale_at(const ScaleGrid& g, int64_t outer, int64_t inner) {
  return static_cast<const T*>(g.scales)[outer / g.outer_block * g.outer_stride + inner / g.inner_block * g.inner_stride];
}

/// A thread a scale; neighbors write neighbors where outer_stride is 1.
__global__ void __launch_bounds__(kThreads)
    arrange_scales_kernel(ScaleGrid g, int64_t padded_inners, int64_t outer_stride, int64_t inner_stride, float* __restrict__ out) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads, count = g.outers * padded_inners;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    const int64_t outer = i % g.outers, inner = i / g.outers;
    out[outer * outer_stride + inner * inner_stride] = inner < g.inners ? scale_at<float>(g, outer, inner) : 0.0F;
  }
}

/// The exponent of a positive power of two, also of the subnormal 2^-127.
__device__ uint32_t e8m0_of(float power_of_two) { return __float_as_uint(power_of_two) >> 23 & 0xFFU; }

/// A thread the four scales of a row that lie side by side.
template <bool kIsF32>
__global__ void __launch_bounds__(kThreads) tile_scales_kernel(ScaleGrid g, int64_t quads, int64_t count, uint32_t* __restrict__ out) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    const int64_t outer = i / quads, first = i % quads * 4;
    uint32_t word = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (outer >= g.outers || first + k >= g.inners) continue;
      const uint32_t scale = kIsF32 ? e8m0_of(scale_at<float>(g, outer, first + k)) : scale_at<uint8_t>(g, outer, first + k);
      word |= scale << (8 * k);
    }
    out[(outer / 128 * quads + first / 4) * 128 + outer % 32 * 4 + outer % 128 / 32] = word;
  }
}

// -- codes -------------------------------------------------------------------------------------------------------------------------------

/// Eight codes of four bits from two words of four bytes.
__device__ uint32_t pack_eight(uint32_t low, uint32_t high) {
  const auto four = [](uint32_t w) { return (w & 0xFU) | (w >> 4 & 0xF0U) | (w >> 8 & 0xF00U) | (w >> 12 & 0xF000U); };
  return four(low) | four(high) << 16;
}

/// 32 codes a thread: 16 bytes.
__global__ void __launch_bounds__(kThreads) pack_codes_kernel(const uint4* __restrict__ codes, int64_t count, uint4* __restrict__ out) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    const uint4 a = codes[2 * i], b = codes[2 * i + 1];
    out[i] = make_uint4(pack_eight(a.x, a.y), pack_eight(a.z, a.w), pack_eight(b.x, b.y), pack_eight(b.z, b.w));
  }
}

constexpr int kTile = 64;  // codes along either side

struct PackShared {
  uint8_t tile[kTile][kTile + 4];  // rows 68 bytes apart: the banks of a column differ
};

/// One tile of codes [k, outer] a block: read by rows, written by columns.
__global__ void __launch_bounds__(kThreads)
    pack_transposed_codes_kernel(const uint8_t* __restrict__ codes, int64_t outer, int64_t k, uint8_t* __restrict__ out) {
  auto& shared = shared_memory<PackShared>();
  const int64_t across = (outer + kTile - 1) / kTile;
  const int64_t first_k = blockIdx.x / across * kTile, first_outer = blockIdx.x % across * kTile;
  const int x = static_cast<int>(threadIdx.x) % kTile, y = static_cast<int>(threadIdx.x) / kTile;
  for (int r = y; r < kTile; r += kThreads / kTile) {
    if (first_k + r < k && first_outer + x < outer) shared.tile[r][x] = codes[(first_k + r) * outer + first_outer + x];
  }
  __syncthreads();
  constexpr int kPairs = kTile / 2;
  const int pair = static_cast<int>(threadIdx.x) % kPairs;
  for (int c = static_cast<int>(threadIdx.x) / kPairs; c < kTile; c += kThreads / kPairs) {
    if (first_outer + c >= outer || first_k + 2 * pair >= k) continue;
    out[(first_outer + c) * (k / 2) + first_k / 2 + pair] =
        static_cast<uint8_t>((shared.tile[2 * pair][c] & 0xF) | (shared.tile[2 * pair + 1][c] & 0xF) << 4);
  }
}

// -- scalars, and operands for timing ----------------------------------------------------------------------------------------------------

/// `factor` times `divisor`-th part; null: 1.
struct Factor {
  const float* value;
  float divisor;
};

__device__ float value_of(Factor f) { return f.value == nullptr ? 1.0F : __fdiv_rn(*f.value, f.divisor); }

__global__ void gemm_alpha_kernel(Factor a, Factor b, float beta, float* out) {
  out[0] = __fmul_rn(value_of(a), value_of(b));
  out[1] = beta;
}

Factor factor_of(const QuantTensorView& q, bool columnwise) {
  const QuantCopy& copy = columnwise ? q.columnwise : q.rowwise;
  if (q.spec.is_per_tensor()) return {static_cast<const float*>(copy.scale_inv), 1.0F};
  if (q.spec.scaling == QuantScaling::nvfp4) return {copy.global_amax, kNvfp4Max};
  return {nullptr, 1.0F};
}

/// Multiplications and shifts that mix every bit of i into every bit of the result.
__device__ uint32_t mixed(uint32_t i) {
  i = (i ^ i >> 16) * 0x7FEB352DU;
  i = (i ^ i >> 15) * 0x846CA68BU;
  return i ^ i >> 16;
}

__global__ void __launch_bounds__(kThreads) random_words_kernel(uint32_t* out, int64_t count, uint32_t seed, uint32_t mask, uint32_t set) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    out[i] = (mixed(static_cast<uint32_t>(i) + mixed(seed)) & mask) | set;
  }
}

LaunchShape flat_shape(int64_t threads, int multiprocessors) {
  const int64_t blocks = std::min<int64_t>(ceil_div(threads, kThreads), int64_t{multiprocessors} * kBlocksPerMultiprocessor);
  return {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)};
}

}  // namespace

void launch_arrange_scales(const ScaleGrid& grid, int64_t padded_inners, int64_t outer_stride, int64_t inner_stride, float* out,
                           const LaunchContext& context) {
  launch("arrange_scales", arrange_scales_kernel, flat_shape(grid.outers * padded_inners, context.multiprocessors), context.stream, grid,
         padded_inners, outer_stride, inner_stride, out);
}

void launch_tile_scales(const ScaleGrid& grid, bool is_f32, uint8_t* out, const LaunchContext& context) {
  const int64_t quads = ceil_div(grid.inners, 4), count = ceil_div(grid.outers, 128) * 128 * quads;
  launch("tile_scales", is_f32 ? tile_scales_kernel<true> : tile_scales_kernel<false>, flat_shape(count, context.multiprocessors),
         context.stream, grid, quads, count, reinterpret_cast<uint32_t*>(out));
}

void launch_pack_codes(const uint8_t* codes, int64_t outer, int64_t k, bool is_columnwise, uint8_t* out, const LaunchContext& context) {
  MBT_CHECK(k % 32 == 0 && is_aligned(codes, 16) && is_aligned(out, 16), "codes are packed 32 at a time, aligned to 16 bytes; {} a row", k);
  if (is_columnwise) {
    const auto tiles = static_cast<unsigned>(ceil_div(outer, kTile) * ceil_div(k, kTile));
    launch("pack_transposed_codes", pack_transposed_codes_kernel, {dim3(tiles), dim3(kThreads), sizeof(PackShared)}, context.stream, codes,
           outer, k, out);
  } else {
    const int64_t count = outer * k / 32;
    launch("pack_codes", pack_codes_kernel, flat_shape(count, context.multiprocessors), context.stream,
           reinterpret_cast<const uint4*>(codes), count, reinterpret_cast<uint4*>(out));
  }
}

void launch_random_words(uint32_t* out, int64_t count, uint32_t seed, uint32_t mask, uint32_t set, int multiprocessors,
                         cudaStream_t stream) {
  launch("random_words", random_words_kernel, flat_shape(count, multiprocessors), stream, out, count, seed, mask, set);
}

void launch_gemm_alpha(const QuantTensorView& a, bool a_columnwise, const QuantTensorView& b, bool b_columnwise, bool accumulate,
                       float* out, const LaunchContext& context) {
  launch("gemm_alpha", gemm_alpha_kernel, {dim3(1), dim3(1)}, context.stream, factor_of(a, a_columnwise), factor_of(b, b_columnwise),
         accumulate ? 1.0F : 0.0F, out);
}

}  // namespace mbt::cuda

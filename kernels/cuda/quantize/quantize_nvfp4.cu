// Quantization to nvfp4: E4M3 scales for blocks of 16 under one scale a tensor, so two launches: the tensor's amax (for a Hadamard copy
// also that of the transformed tensor), then scales and codes of both copies in one pass over x. The transform is recomputed rather than
// kept: reading x again costs less than writing and reading the transformed tensor.
#include "kernels/cuda/device/hadamard.h"
#include "kernels/cuda/quantize/quantize_blocks.h"
#include "kernels/cuda/runtime/choose.h"

namespace mbt::cuda {
namespace {

constexpr int kBlocksPerMultiprocessor = 4;

/// Column k of the thread's 16 rows, transformed and rounded to bf16; a group cut off by the matrix's end is only rounded. The CPU's bits
/// (device/hadamard.h).
template <class H>
__device__ inline void transform_column(const Four<H> (&x)[kThreadRows], int k, bool is_whole, float (&out)[kThreadRows]) {
  if (!is_whole) {
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) out[r] = rounded<Bf16>(x[r][k]);
    return;
  }
  hadamard_column(x, k, out);
#pragma unroll
  for (float& value : out) value = rounded<Bf16>(value);
}

/// parts[block] = amax of x over the block's tiles, parts[gridDim.x + block] that of the transformed tensor.
template <class H>
__global__ void __launch_bounds__(kTileThreads) hadamard_amax_kernel(BlockArgs a, int64_t tiles, float* parts) {
  auto& shared = shared_memory<TileShared>();
  float plain = 0, transformed = 0;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const Place p = place_of(a, static_cast<unsigned>(tile));
    Four<H> x[kThreadRows];
    load_part(a, p, x);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      float column[kThreadRows];
      transform_column(x, k, p.rows == kThreadRows, column);
#pragma unroll
      for (int r = 0; r < kThreadRows; ++r) {
        plain = fmaxf(plain, fabsf(x[r][k]));
        transformed = fmaxf(transformed, fabsf(column[r]));
      }
    }
  }
  plain = block_max(plain, shared.parts);
  transformed = block_max(transformed, shared.parts);
  if (threadIdx.x != 0) return;
  parts[blockIdx.x] = plain;
  parts[gridDim.x + blockIdx.x] = transformed;
}

template <class Rule, class H>
__device__ inline void quantize_transformed(const BlockArgs& a, const Place& p, const Four<H> (&x)[kThreadRows],
                                            float global_encode_scale) {
  // All columns first, as the bf16 that they are: a transform and the random bits together do not fit into the registers.
  Four<Bf16> transformed[kThreadRows];
#pragma unroll
  for (Four<Bf16>& row : transformed) row = Four<Bf16>::zero();
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    float column[kThreadRows];
    transform_column(x, k, p.rows == kThreadRows, column);
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) transformed[r].set(k, column[r]);
  }
  uint32_t codes[kThreadRows] = {};  // byte k: the random bits of column k, until its code takes their place
  if constexpr (Rule::kIsStochastic) draw_random(a, p, true, codes);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    float amax = 0, multiplier = 0;
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) amax = fmaxf(amax, fabsf(transformed[r][k]));
    const uint8_t stored = Rule::scale(amax, global_encode_scale, multiplier);
    if (p.rows > 0 && k < p.cols) static_cast<uint8_t*>(a.column.scale_inv)[p.row / Rule::kBlock * a.cols + p.col + k] = stored;
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) {
      const float v = __fmul_rn(transformed[r][k], multiplier);
      const uint32_t code = Rule::kIsStochastic ? encode_e2m1_stochastic_fast(v, codes[r] >> (8 * k) & 0xFFU) : encode_e2m1_fast(v);
      codes[r] = (codes[r] & ~(0xFFU << (8 * k))) | code << (8 * k);
    }
  }
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) {
    if (r < p.rows) store_four(a.column.codes + (p.row + r) * a.cols + p.col, codes[r], p.cols, a.is_vector);
  }
}

/// Elements of 32 bits, which no recipe quantizes to nvfp4, take twice the registers: one block a multiprocessor, and no spills.
template <class Rule, Blocks kBlocks, class H>
__global__ void __launch_bounds__(kTileThreads, sizeof(H) == sizeof(float) ? 1 : 2) quantize_nvfp4_kernel(BlockArgs a) {
  auto& shared = shared_memory<TileShared>();
  const Place p = place_of(a, blockIdx.x);
  Four<H> x[kThreadRows];
  load_part(a, p, x);
  const float amax = whole_amax(a.amax_parts, shared.parts);
  const float column_amax = kBlocks == Blocks::transformed_lines ? whole_amax(a.transformed_parts, shared.parts) : amax;
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    if (a.row.global_amax != nullptr) *a.row.global_amax = amax;
    if (a.column.global_amax != nullptr) *a.column.global_amax = column_amax;
    if (a.amax != nullptr) *a.amax = fmaxf(*a.amax, amax);
  }
  const float scale = nvfp4_global_encode_scale(amax);
  if constexpr (kBlocks == Blocks::squares) {
    quantize_squares<Rule>(a, p, x, scale, shared);
  } else {
    if (a.row.codes != nullptr) quantize_rows<Rule>(a, p, x, scale);
    if (a.column.codes == nullptr) return;
    if constexpr (kBlocks == Blocks::lines) quantize_columns<Rule>(a, p, x, scale, shared);
    else quantize_transformed<Rule>(a, p, x, nvfp4_global_encode_scale(column_amax));
  }
}

template <class H>
void launch_hadamard_amax(BlockArgs& a, const LaunchContext& context) {
  const int64_t tiles = tile_shape(a.rows, a.cols).grid.x;
  const int blocks = static_cast<int>(std::min<int64_t>(tiles, context.multiprocessors * kBlocksPerMultiprocessor));
  auto* parts = context.scratch.get<float>(static_cast<size_t>(2 * blocks));
  launch("hadamard_amax", hadamard_amax_kernel<H>, {dim3(static_cast<unsigned>(blocks)), dim3(kTileThreads), sizeof(TileShared)},
         context.stream, a, tiles, parts);
  a.amax_parts = {parts, blocks};
  a.transformed_parts = {parts + blocks, blocks};
}

const char* name_of(Blocks blocks) {
  return blocks == Blocks::squares ? "quantize_nvfp4_squares" : blocks == Blocks::lines ? "quantize_nvfp4" : "quantize_nvfp4_hadamard";
}

}  // namespace

void launch_quantize_nvfp4(const QuantizeArgs& args, const LaunchContext& context) {
  BlockArgs a = block_args(args);
  const QuantSpec& spec = args.to.q.spec;
  const bool transforms = spec.hadamard_columnwise && a.column.codes != nullptr;
  const Blocks blocks = spec.is_2d ? Blocks::squares : transforms ? Blocks::transformed_lines : Blocks::lines;
  with_source(args, [&]<class T, class H>(T*, H*) {
    if (transforms) launch_hadamard_amax<H>(a, context);
    else a.amax_parts = amax_parts(args, context);
    const auto kernel = choose(
        [&]<bool kStochastic, Blocks kBlocks>(Is<kStochastic>, Is<kBlocks>) -> void (*)(BlockArgs) {
          return quantize_nvfp4_kernel<Nvfp4Rule<kStochastic>, kBlocks, H>;
        },
        flag(spec.stochastic_rounding), OneOf<Blocks::squares, Blocks::lines, Blocks::transformed_lines>{blocks});
    launch(name_of(blocks), kernel, tile_shape(a.rows, a.cols), context.stream, a);
  });
}

}  // namespace mbt::cuda

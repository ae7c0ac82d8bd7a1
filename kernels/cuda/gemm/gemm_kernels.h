// The kernels that products need beside cuBLASLt: scales in its order, codes two a byte, factors as alpha, random operands for timing. All
// but the packing move few bytes beside the product.
#pragma once

#include "core/backend/backend.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// A grid of scales: that of `outer` (a row of D, or a group of rows) and block `inner` along the sum lies at
/// outer / outer_block * outer_stride + inner / inner_block * inner_stride.
struct ScaleGrid {
  const void* scales;
  int64_t outers, inners;
  int64_t outer_stride, inner_stride;
  int outer_block = 1, inner_block = 1;
};

/// out[outer * outer_stride + inner * inner_stride], f32, for inner below padded_inners; zero where there is no block.
void launch_arrange_scales(const ScaleGrid& grid, int64_t padded_inners, int64_t outer_stride, int64_t inner_stride, float* out,
                           const LaunchContext& context);

/// One byte a scale in tiles of 128 x 4 (tiled_scale_offset of gemm_product.h), zero where there is no block. is_f32: the grid holds powers
/// of two in f32, which become E8M0.
void launch_tile_scales(const ScaleGrid& grid, bool is_f32, uint8_t* out, const LaunchContext& context);

/// out[outer, k / 2]: two codes a byte, the first in the low nibble. codes: [outer, k], or [k, outer] when is_columnwise; k a multiple
/// of 32.
void launch_pack_codes(const uint8_t* codes, int64_t outer, int64_t k, bool is_columnwise, uint8_t* out, const LaunchContext& context);

/// out[0] = the product of the operands' factors that codes and block scales leave out (per-tensor scale_inv; nvfp4: amax / 2688),
/// out[1] = 1 when accumulating, else 0.
void launch_gemm_alpha(const QuantTensorView& a, bool a_columnwise, const QuantTensorView& b, bool b_columnwise, bool accumulate,
                       float* out, const LaunchContext& context);

/// out[i] = (32 random bits, a function of (seed, i)) & mask | set.
void launch_random_words(uint32_t* out, int64_t count, uint32_t seed, uint32_t mask, uint32_t set, int multiprocessors,
                         cudaStream_t stream);

}  // namespace mbt::cuda

// Host side of the block kernels: their arguments and their dispatch on layouts and source types.
#pragma once

#include "kernels/cuda/device/block_tile.h"

namespace mbt::cuda {

inline BlockOutput block_output(const QuantTensorView& q, bool is_column) {
  const QuantCopy& copy = is_column ? q.columnwise : q.rowwise;
  const int64_t cols = quant_copy_shape(q.spec, q.rows, q.cols, is_column).scale_cols;
  return {static_cast<uint8_t*>(copy.codes), copy.scale_inv, cols, copy.global_amax, copy.is_transposed};
}

inline BlockArgs block_args(const QuantizeArgs& args) {
  const QuantTensorView& q = args.to.q;
  const bool is_wide = args.x.dtype == DType::f32;
  const bool is_vector = q.cols % 4 == 0 && is_aligned(args.x.data, is_wide ? 16 : 8) && is_aligned(q.rowwise.codes, 4) &&
                         is_aligned(q.columnwise.codes, 4);  // null is aligned
  return {.x = args.x.data,
          .is_wide = is_wide,
          .is_vector = is_vector,
          .is_column_vector = q.rows % 16 == 0 && is_aligned(q.columnwise.codes, 16),
          .rows = q.rows,
          .cols = q.cols,
          .row = block_output(q, false),
          .column = block_output(q, true),
          .amax = staged_amax(args.to),
          .amax_parts = {},
          .transformed_parts = {},
          .seed = args.to.random_seed,
          .stream = args.to.random_stream,
          .pass = args.to.random_pass};
}

inline LaunchShape tile_shape(int64_t rows, int64_t cols, bool is_transposed = false) {
  return {dim3(static_cast<unsigned>(ceil_div(rows, kTile) * ceil_div(cols, kTile))), dim3(kTileThreads),
          sizeof(TileShared) + (is_transposed ? kTransposedChunks * sizeof(uint4) : 0)};
}

}  // namespace mbt::cuda

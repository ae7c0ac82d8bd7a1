// One scale a tensor: the slice is a flat range, cut into chunks. One scale a block: the whole weight is cut into tiles that blocks do not
// cross, so that a block's amax and scale are one thread's affair; a tile works on those parts of its rows that lie in the slice.
#include "kernels/cpu/shard_quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "core/numerics/scaling.h"
#include "kernels/cpu/loops/quantize.h"
#include "kernels/cpu/quantize_parts.h"
#include "kernels/cpu/threads.h"

namespace mbt::cpu {
namespace {

constexpr int64_t kChunk = 16384;  // elements of a flat range that a thread takes at a time

/// The elements [first, first + count) of a weight of `cols` columns.
struct Slice {
  const float* x;
  int64_t first, count, cols;
  SourceKind kind;

  Slice(const ConstTensorView& view, int64_t first_element, int64_t num_cols, DType round_to)
      : x(view.as<float>()),
        first(first_element),
        count(view.size()),
        cols(num_cols),
        kind(round_to == DType::bf16  ? SourceKind::f32_as_bf16
             : round_to == DType::f16 ? SourceKind::f32_as_f16
                                      : SourceKind::f32) {}
  /// What is at element `i` of the weight, which lies in the slice.
  Source at(int64_t i) const { return {x + (i - first), kind, cols}; }
};

float largest(const std::vector<uint32_t>& bits) {
  return bits.empty() ? 0.0F : std::bit_cast<float>(*std::max_element(bits.begin(), bits.end()));
}

// -- one scale a tensor ------------------------------------------------------------------------------------------------------------------

/// Calls body(source, element of the weight, count) for each chunk of the slice; the maximum of what it returns, fp32 bits of magnitudes.
template <class Body>
float max_over_chunks(const Slice& slice, const Body& body) {
  std::vector<uint32_t> maxima(static_cast<size_t>(ceil_div(slice.count, kChunk)));
  parallel_tasks(static_cast<int64_t>(maxima.size()), [&](int, int64_t chunk) {
    const int64_t begin = slice.first + chunk * kChunk;
    maxima[static_cast<size_t>(chunk)] = body(slice.at(begin), begin, std::min(kChunk, slice.first + slice.count - begin));
  });
  return largest(maxima);
}

float amax_of(const Slice& slice) {
  const auto amax_bits = MBT_AT_LEVEL(amax_bits);
  return max_over_chunks(slice, [&](const Source& x, int64_t, int64_t count) { return amax_bits(x, 1, count); });
}

/// Returns the slice's amax where it is asked for.
float cast_slice(const Slice& slice, const QuantTensorView& q, float scale, bool with_amax) {
  const auto amax_bits = MBT_AT_LEVEL(amax_bits);
  const auto encode_scaled = MBT_AT_LEVEL(encode_scaled);
  auto* codes = static_cast<uint8_t*>(q.rowwise.codes);
  *static_cast<float*>(q.rowwise.scale_inv) = 1.0F / scale;
  return max_over_chunks(slice, [&](const Source& x, int64_t begin, int64_t count) {
    encode_scaled(x, 1, count, scale, q.spec.format, codes + begin, count);
    return with_amax ? amax_bits(x, 1, count) : 0U;
  });
}

// -- one scale a block -------------------------------------------------------------------------------------------------------------------

/// A row of blocks within one tile.
struct Band {
  int64_t row, col, rows, cols;  // its elements
  int64_t block, blocks;         // the first of its blocks, and how many there are
};

/// Calls body(band) for every band of the weight; those of one tile on one thread.
template <class Body>
void for_each_band(int64_t rows, int64_t cols, int64_t block_size, const Body& body) {
  const int64_t across = ceil_div(cols, kTileCols), blocks_across = ceil_div(cols, block_size);
  parallel_tasks(ceil_div(rows, kTileRows) * across, [&](int, int64_t tile) {
    const int64_t first_row = tile / across * kTileRows, end_row = std::min(first_row + kTileRows, rows);
    const int64_t col = tile % across * kTileCols, width = std::min(kTileCols, cols - col);
    for (int64_t row = first_row; row < end_row; row += block_size) {
      body(Band{.row = row,
                .col = col,
                .rows = std::min(block_size, end_row - row),
                .cols = width,
                .block = row / block_size * blocks_across + col / block_size,
                .blocks = ceil_div(width, block_size)});
    }
  });
}

/// Calls body(element of the weight, column within the band, count) for the part of each row of the band that lies in the slice.
template <class Body>
void for_each_row_of_slice(const Slice& slice, const Band& band, const Body& body) {
  for (int64_t row = band.row; row < band.row + band.rows; ++row) {
    const int64_t start = row * slice.cols + band.col;
    const int64_t begin = std::max(start, slice.first), end = std::min(start + band.cols, slice.first + slice.count);
    if (begin < end) body(begin, begin - start, end - begin);
  }
}

void amax_of_blocks(const Slice& slice, int64_t rows, int64_t block_size, float* amax) {
  const auto raise_column_amax = MBT_AT_LEVEL(raise_column_amax);
  for_each_band(rows, slice.cols, block_size, [&](const Band& band) {
    alignas(64) uint32_t columns[kTileCols] = {};
    for_each_row_of_slice(slice, band, [&](int64_t i, int64_t c, int64_t count) { raise_column_amax(slice.at(i), count, columns + c); });
    for (int64_t k = 0; k < band.blocks; ++k) {
      uint32_t* const end = columns + std::min((k + 1) * block_size, band.cols);
      amax[band.block + k] = std::bit_cast<float>(*std::max_element(columns + k * block_size, end));
    }
  });
}

/// Stores the scale of block k, whose amax is given; returns what its elements are multiplied by.
float store_scale(const QuantTensorView& q, int64_t k, float amax, float global_encode_scale) {
  if (q.spec.scaling == QuantScaling::nvfp4) {
    const Nvfp4BlockScale scale = nvfp4_block_scale(amax, global_encode_scale);
    static_cast<uint8_t*>(q.rowwise.scale_inv)[k] = scale.code;
    return scale.multiplier;
  }
  const float scale = blockwise_scale(amax, max_of(q.spec.format));
  static_cast<float*>(q.rowwise.scale_inv)[k] = 1.0F / scale;
  return scale;
}

/// `amax`: of every block of the weight; `whole`: of the weight.
void encode_blocks_of_slice(const Slice& slice, const QuantTensorView& q, const float* amax, float whole) {
  const auto encode_columns = MBT_AT_LEVEL(encode_columns);
  const float global_encode_scale = nvfp4_global_encode_scale(whole);
  const int64_t block_size = q.spec.block_size();
  auto* codes = static_cast<uint8_t*>(q.rowwise.codes);
  for_each_band(q.rows, q.cols, block_size, [&](const Band& band) {
    alignas(64) float multiplier[kTileCols];
    for (int64_t k = 0; k < band.blocks; ++k) {
      const float m = store_scale(q, band.block + k, amax[band.block + k], global_encode_scale);
      std::fill(multiplier + k * block_size, multiplier + std::min((k + 1) * block_size, band.cols), m);
    }
    for_each_row_of_slice(slice, band, [&](int64_t i, int64_t c, int64_t count) {
      encode_columns(slice.at(i), count, multiplier + c, q.spec.format, codes + i);
    });
  });
}

}  // namespace

void shard_amax(const ShardAmaxArgs& args) {
  const Slice slice(args.x, args.first, args.cols, args.round_to);
  if (args.spec.is_per_tensor()) *args.amax.as<float>() = amax_of(slice);
  else amax_of_blocks(slice, args.rows, args.spec.block_size(), args.amax.as<float>());
}

void quantize_shard(const QuantizeShardArgs& args) {
  const QuantTensorView& q = args.q;
  const QuantSpec& spec = q.spec;
  const Slice slice(args.x, args.first, q.cols, args.round_to);
  const bool with_amax = args.stage_amax && q.amax != nullptr;
  float amax = 0;
  if (spec.scaling == QuantScaling::delayed) {
    amax = cast_slice(slice, q, *q.scale, with_amax);
  } else {
    const float* of_blocks = args.amax.as<float>();
    amax = *std::max_element(of_blocks, of_blocks + args.amax.size());
    if (spec.scaling == QuantScaling::tensorwise) {
      cast_slice(slice, q, current_scale(amax, max_of(spec.format), spec.power_of_two_scale), false);
    } else {
      if (spec.scaling == QuantScaling::nvfp4) *q.rowwise.global_amax = amax;
      encode_blocks_of_slice(slice, q, of_blocks, amax);
    }
  }
  if (with_amax) *q.amax = std::fmax(*q.amax, amax);
}

void complete_copies(const CompleteCopiesArgs& args) {
  if (!args.q.columnwise.empty() && args.q.columnwise.is_transposed) {
    throw Error("complete_copies: got a transposed copy, but the CPU keeps codes in [rows, cols] order and makes no transposed copy");
  }
}

}  // namespace mbt::cpu

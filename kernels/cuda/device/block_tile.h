// Quantization with one scale a block, in one pass over x for both copies. A tile of 128 x 128 elements is a block of 8 warps; a warp has
// 16 rows, a thread 16 rows of 4 columns, so that blocks of 16 rows lie in one thread, longer ones in the same lanes of several warps, and
// blocks along a row in neighboring lanes.
#pragma once

#include "core/base/philox.h"
#include "core/numerics/scaling.h"
#include "kernels/cuda/device/codecs.h"
#include "kernels/cuda/device/four.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/quantize/quantize_parts.h"

namespace mbt::cuda {

constexpr int kTile = 128, kTileWarps = 8, kTileThreads = kTileWarps * kWarp;
constexpr int kThreadRows = 16;

/// Where blocks lie: along rows for the row-wise copy and along columns for the column-wise one, or square and the same for both.
enum class Blocks : uint8_t { lines, squares, transformed_lines };  // transformed: the column-wise copy is of the Hadamard transform

struct BlockOutput {
  uint8_t* codes;  // [rows, cols]; null: no such copy
  void* scale_inv;
  int64_t scale_cols;
  float* global_amax;  // nvfp4
  bool is_transposed;  // codes [cols, rows]; never nvfp4's
};

struct BlockArgs {
  const void* x;          // [rows, cols]
  bool is_wide;           // x is f32, whatever it counts as
  bool is_vector;         // four neighboring elements, or codes, are one access
  bool is_column_vector;  // sixteen neighboring transposed codes are one access
  int64_t rows, cols;
  BlockOutput row, column;                  // squares: the one that there is
  float* amax;                              // staging slot or null
  AmaxParts amax_parts, transformed_parts;  // nvfp4
  uint64_t seed, stream;
  const uint64_t* pass;  // null: 0; the stream is stream + *pass * 2^24
};

struct TileShared {
  float parts[kWarp];
  float column[kTileWarps][kTile];
};
/// Behind TileShared where codes are transposed: [column][16 rows], the 16-byte chunks of a column permuted.
constexpr int kTransposedChunks = kTile * kTileWarps;

// -- rules: amax to stored scale and multiplier ------------------------------------------------------------------------------------------

template <QuantFormat F>
struct BlockwiseRule {
  static constexpr int kBlock = 128;
  static constexpr QuantFormat kFormat = F;
  static constexpr bool kIsNvfp4 = false, kIsStochastic = false;
  using Stored = float;
  __device__ static Stored scale(float amax, float, float& multiplier) {
    constexpr float kMax = max_of(F);
    multiplier = blockwise_scale(amax, kMax);
    return __fdiv_rn(1.0F, multiplier);
  }
};

template <QuantFormat F>
struct Mxfp8Rule {
  static constexpr int kBlock = 32;
  static constexpr QuantFormat kFormat = F;
  static constexpr bool kIsNvfp4 = false, kIsStochastic = false;
  using Stored = uint8_t;
  __device__ static Stored scale(float amax, float, float& multiplier) {
    constexpr float kMax = max_of(F);
    const uint8_t exponent = mxfp8_exponent(amax, kMax);
    multiplier = exp2_rcp(exponent);
    return exponent;
  }
};

template <bool kStochastic>
struct Nvfp4Rule {
  static constexpr int kBlock = 16;
  static constexpr QuantFormat kFormat = QuantFormat::e2m1;
  static constexpr bool kIsNvfp4 = true, kIsStochastic = kStochastic;
  using Stored = uint8_t;
  __device__ static Stored scale(float amax, float global_encode_scale, float& multiplier) {
    const Nvfp4BlockScale s = nvfp4_block_scale(amax, global_encode_scale);
    multiplier = s.multiplier;
    return s.code;
  }
};

// -- one thread's part -------------------------------------------------------------------------------------------------------------------

struct Place {
  int64_t row, col;  // of the thread's first element
  int rows, cols;    // how many of its 16 x 4 elements lie in the matrix
  int lane, warp;
};

__device__ inline Place place_of(const BlockArgs& a, unsigned tile) {
  const auto across = static_cast<unsigned>((a.cols + kTile - 1) / kTile);  // 32 bits: the division stands before the first load
  Place p;
  p.lane = static_cast<int>(threadIdx.x) % kWarp;
  p.warp = static_cast<int>(threadIdx.x) / kWarp;
  p.row = int64_t{tile / across} * kTile + p.warp * kThreadRows;
  p.col = int64_t{tile % across} * kTile + p.lane * 4;
  p.rows = clamp_count(a.rows - p.row, kThreadRows);
  p.cols = clamp_count(a.cols - p.col, 4);
  return p;
}

/// Rows of f32 that are all there: eight loads at a time before the first conversion.
template <class H>
__device__ inline void load_whole_part(const float* from, int64_t cols, Four<H> (&x)[kThreadRows]) {
  constexpr int kLoads = 8;
#pragma unroll
  for (int first = 0; first < kThreadRows; first += kLoads) {
    float4 wide[kLoads];
#pragma unroll
    for (int r = 0; r < kLoads; ++r) wide[r] = *reinterpret_cast<const float4*>(from + (first + r) * cols);
#pragma unroll
    for (int r = 0; r < kLoads; ++r) x[first + r] = Four<H>::of(wide[r]);
  }
}

template <class H>
__device__ inline void load_part(const BlockArgs& a, const Place& p, Four<H> (&x)[kThreadRows]) {
  const int64_t first = p.row * a.cols + p.col;
  if (sizeof(H) == 4 || a.is_wide) {
    if (a.is_vector && p.rows == kThreadRows && p.cols == 4) return load_whole_part(static_cast<const float*>(a.x) + first, a.cols, x);
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r)
      x[r] = load_four<H>(static_cast<const float*>(a.x) + first + r * a.cols, r < p.rows ? p.cols : 0, a.is_vector);
  } else {
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r)
      x[r] = load_four<H>(static_cast<const H*>(a.x) + first + r * a.cols, r < p.rows ? p.cols : 0, a.is_vector);
  }
}

/// The tensor's amax, for every thread of the block.
__device__ inline float whole_amax(const AmaxParts& amax, float* shared_parts) {
  return block_max(largest_part<kTileThreads>(amax), shared_parts);
}

/// w[d] = w[d ^ lane % 4].
__device__ inline void exchange_words(uint32_t (&w)[4], int lane) {
  const bool odd = (lane & 1) != 0, high = (lane & 2) != 0;
  const uint32_t v[4] = {odd ? w[1] : w[0], odd ? w[0] : w[1], odd ? w[3] : w[2], odd ? w[2] : w[3]};
#pragma unroll
  for (int d = 0; d < 4; ++d) w[d] = high ? v[d ^ 2] : v[d];
}

/// Random bits for the thread's elements: byte k of random[r] is for row r, column k. A group of 16 columns, four lanes, shares 128 bits a
/// row; each lane makes those of every fourth row and the four exchange words. The copies draw from the two halves of the counter's range.
__device__ inline void draw_random(const BlockArgs& a, const Place& p, bool is_column, uint32_t (&random)[kThreadRows]) {
  const uint64_t groups = static_cast<uint64_t>((a.cols + 15) / 16);
  const uint64_t first =
      static_cast<uint64_t>(p.row + p.lane % 4) * groups + static_cast<uint64_t>(p.col / 16) + (is_column ? uint64_t{1} << 63 : 0);
  const uint64_t stream = a.pass == nullptr ? a.stream : a.stream + (*a.pass << 24);
#pragma unroll
  for (int r = 0; r < kThreadRows; r += 4) {
    const auto words = philox(a.seed, stream, first + static_cast<uint64_t>(r) * groups);
    uint32_t w[4] = {words[0], words[1], words[2], words[3]};
    exchange_words(w, p.lane);  // w[d]: for lane ^ d
#pragma unroll
    for (int d = 1; d < 4; ++d) w[d] = __shfl_xor_sync(kAllLanes, w[d], d);
    exchange_words(w, p.lane);  // w[i]: from lane i of the four
#pragma unroll
    for (int i = 0; i < 4; ++i) random[r + i] = w[i];
  }
}

template <class Rule>
__device__ inline uint32_t encode_four(const float (&v)[4], uint32_t random) {
  if constexpr (!Rule::kIsStochastic) return encode4<Rule::kFormat>(v);
  uint32_t codes = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) codes |= encode_e2m1_stochastic_fast(v[k], random >> (8 * k) & 0xFFU) << (8 * k);
  return codes;
}

/// Codes of four elements, under one multiplier a column.
template <class Rule, class H>
__device__ inline uint32_t encode_scaled_four(const Four<H>& x, const float (&multiplier)[4], uint32_t random) {
  float v[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) v[k] = __fmul_rn(x[k], multiplier[k]);
  return encode_four<Rule>(v, random);
}

/// Codes of row r of the thread's part.
__device__ inline void store_row(const BlockArgs& a, const Place& p, const BlockOutput& out, int r, uint32_t codes) {
  if (r < p.rows) store_four(out.codes + (p.row + r) * a.cols + p.col, codes, p.cols, a.is_vector);
}
template <class Rule, class H>
__device__ inline void write_row(const BlockArgs& a, const Place& p, const BlockOutput& out, int r, const Four<H>& x,
                                 const float (&multiplier)[4], uint32_t random) {
  store_row(a, p, out, r, encode_scaled_four<Rule>(x, multiplier, random));
}

/// The same for all rows.
template <class Rule, class H>
__device__ inline void write_rows(const BlockArgs& a, const Place& p, const BlockOutput& out, const Four<H> (&x)[kThreadRows],
                                  const float (&multiplier)[4], bool is_column) {
  uint32_t random[kThreadRows] = {};
  if constexpr (Rule::kIsStochastic) draw_random(a, p, is_column, random);
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) write_row<Rule>(a, p, out, r, x[r], multiplier, random[r]);
}

/// Codes to the transposed column-wise copy, and to a row-wise one that shares them, where there is one. They pass through shared memory,
/// so that columns are written 128 bytes at a time. Every thread of the block calls it.
template <class Rule, class H>
__device__ inline void write_transposed(const BlockArgs& a, const Place& p, const BlockOutput* shared_row, const Four<H> (&x)[kThreadRows],
                                        const float (&multiplier)[4]) {
  auto* const tile = shared_array<uint4>(sizeof(TileShared), kTransposedChunks);
  uint32_t columns[4][4];  // [column][four rows]
#pragma unroll
  for (int quad = 0; quad < 4; ++quad) {
    uint32_t codes[4], turned[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      codes[i] = encode_scaled_four<Rule>(x[4 * quad + i], multiplier, 0);
      if (shared_row != nullptr) store_row(a, p, *shared_row, 4 * quad + i, codes[i]);
    }
    transpose_bytes(codes, turned);
#pragma unroll
    for (int k = 0; k < 4; ++k) columns[k][quad] = turned[k];
  }
#pragma unroll
  for (int k = 0; k < 4; ++k)
    tile[(p.lane * 4 + k) * kTileWarps + (p.warp ^ p.lane % kTileWarps)] =
        make_uint4(columns[k][0], columns[k][1], columns[k][2], columns[k][3]);
  __syncthreads();
  const int64_t first_row = p.row - p.warp * kThreadRows, first_col = p.col - p.lane * 4;
  const int chunk = static_cast<int>(threadIdx.x) % kTileWarps;
  for (int c = static_cast<int>(threadIdx.x) / kTileWarps; c < kTile; c += kTileThreads / kTileWarps) {
    const uint4 words = tile[c * kTileWarps + (chunk ^ c / 4 % kTileWarps)];
    const uint32_t codes[4] = {words.x, words.y, words.z, words.w};
    const int64_t row = first_row + chunk * kThreadRows, col = first_col + c;
    if (col < a.cols) store_sixteen(a.column.codes + col * a.rows + row, codes, clamp_count(a.rows - row, kThreadRows), a.is_column_vector);
  }
}

// -- blocks along rows -------------------------------------------------------------------------------------------------------------------

/// m[r] of all kLanes lanes -> each lane has the maxima of its share of the 16 rows, max(1, 16 / kLanes) from row lane * 16 / kLanes on:
/// half of the rows change hands at each step.
template <int kLanes>
__device__ inline void share_out_maxima(float (&m)[kThreadRows], int lane) {
  int count = kThreadRows;
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) {
    if (count == 1) {
      m[0] = fmaxf(m[0], __shfl_xor_sync(kAllLanes, m[0], offset));
      continue;
    }
    count /= 2;
    const bool upper = (lane & offset) != 0;
#pragma unroll
    for (int i = 0; i < kThreadRows / 2; ++i) {
      if (i >= count) break;
      const float given = upper ? m[i] : m[i + count], kept = upper ? m[i + count] : m[i];
      m[i] = fmaxf(kept, __shfl_xor_sync(kAllLanes, given, offset));
    }
  }
}

template <class Rule, class H>
__device__ inline void quantize_rows(const BlockArgs& a, const Place& p, const Four<H> (&x)[kThreadRows], float global_encode_scale) {
  constexpr int kLanes = Rule::kBlock / 4, kShare = kThreadRows > kLanes ? kThreadRows / kLanes : 1;
  float m[kThreadRows];
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) m[r] = amax_of(x[r]);
  share_out_maxima<kLanes>(m, p.lane);
  const int first = p.lane % kLanes * kThreadRows / kLanes;
  const int64_t block = (p.col - p.lane % kLanes * 4) / Rule::kBlock;
  const bool is_writer = block < a.row.scale_cols && (kLanes <= kThreadRows || p.lane % 2 == 0);
  float mine[kShare];
#pragma unroll
  for (int i = 0; i < kShare; ++i) {
    const typename Rule::Stored stored = Rule::scale(m[i], global_encode_scale, mine[i]);
    if (is_writer && first + i < p.rows) {
      static_cast<typename Rule::Stored*>(a.row.scale_inv)[(p.row + first + i) * a.row.scale_cols + block] = stored;
    }
  }
  uint32_t random[kThreadRows] = {};
  if constexpr (Rule::kIsStochastic) draw_random(a, p, false, random);
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) {
    const float scale = __shfl_sync(kAllLanes, mine[r % kShare], p.lane / kLanes * kLanes + r * kLanes / kThreadRows);
    const float multiplier[4] = {scale, scale, scale, scale};
    write_row<Rule>(a, p, a.row, r, x[r], multiplier, random[r]);
  }
}

// -- blocks along columns, and squares ---------------------------------------------------------------------------------------------------

/// The maxima of the warps that share a block, for the thread's columns. Every thread of the thread block calls it.
template <class Rule>
__device__ inline void maxima_of_warps(const Place& p, TileShared& shared, float (&m)[4]) {
  constexpr int kWarps = Rule::kBlock / kThreadRows;
  if constexpr (kWarps == 1) return;
  *reinterpret_cast<float4*>(&shared.column[p.warp][p.lane * 4]) = make_float4(m[0], m[1], m[2], m[3]);
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) {
    const float4 other = *reinterpret_cast<const float4*>(&shared.column[p.warp / kWarps * kWarps + w][p.lane * 4]);
    m[0] = fmaxf(m[0], other.x), m[1] = fmaxf(m[1], other.y), m[2] = fmaxf(m[2], other.z), m[3] = fmaxf(m[3], other.w);
  }
}

template <class H>
__device__ inline void column_maxima(const Four<H> (&x)[kThreadRows], float (&m)[4]) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    m[k] = 0;
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) m[k] = fmaxf(m[k], fabsf(x[r][k]));
  }
}

template <class Rule, class H>
__device__ inline void quantize_columns(const BlockArgs& a, const Place& p, const Four<H> (&x)[kThreadRows], float global_encode_scale,
                                        TileShared& shared) {
  float m[4], multiplier[4];
  column_maxima(x, m);
  maxima_of_warps<Rule>(p, shared, m);
  const bool is_writer = p.warp % (Rule::kBlock / kThreadRows) == 0 && p.rows > 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const typename Rule::Stored stored = Rule::scale(m[k], global_encode_scale, multiplier[k]);
    if (is_writer && k < p.cols)
      static_cast<typename Rule::Stored*>(a.column.scale_inv)[p.row / Rule::kBlock * a.cols + p.col + k] = stored;
  }
  if constexpr (!Rule::kIsNvfp4) {
    if (a.column.is_transposed) return write_transposed<Rule>(a, p, nullptr, x, multiplier);
  }
  write_rows<Rule>(a, p, a.column, x, multiplier, true);
}

/// The amax of the square block that the thread's part lies in. Every thread of the thread block calls it.
template <class Rule, class H>
__device__ inline float square_amax(const Place& p, const Four<H> (&x)[kThreadRows], TileShared& shared) {
  float m[4];
  column_maxima(x, m);
  float amax = fmaxf(fmaxf(m[0], m[1]), fmaxf(m[2], m[3]));
#pragma unroll
  for (int offset = Rule::kBlock / 8; offset > 0; offset /= 2) amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, offset));
  float all[4] = {amax, amax, amax, amax};
  maxima_of_warps<Rule>(p, shared, all);
  return all[0];
}
/// Whether this thread stores what there is one of for its square block, at square_index() of the grid of blocks.
template <class Rule>
__device__ inline bool is_first_of_square(const Place& p) {
  return p.warp % (Rule::kBlock / kThreadRows) == 0 && p.lane % (Rule::kBlock / 4) == 0 && p.rows > 0 && p.cols > 0;
}
template <class Rule>
__device__ inline int64_t square_index(const Place& p, int64_t scale_cols) {
  return p.row / Rule::kBlock * scale_cols + p.col / Rule::kBlock;
}

template <class Rule, class H>
__device__ inline void quantize_squares(const BlockArgs& a, const Place& p, const Four<H> (&x)[kThreadRows], float global_encode_scale,
                                        TileShared& shared) {
  const BlockOutput& out = a.row.codes != nullptr ? a.row : a.column;
  float scale = 0;
  const typename Rule::Stored stored = Rule::scale(square_amax<Rule>(p, x, shared), global_encode_scale, scale);
  if (is_first_of_square<Rule>(p)) {
    const int64_t at = square_index<Rule>(p, out.scale_cols);
    static_cast<typename Rule::Stored*>(out.scale_inv)[at] = stored;
    if (a.column.is_transposed) static_cast<typename Rule::Stored*>(a.column.scale_inv)[at] = stored;
  }
  const float multiplier[4] = {scale, scale, scale, scale};
  if constexpr (!Rule::kIsNvfp4) {
    if (a.column.is_transposed) return write_transposed<Rule>(a, p, a.row.codes != nullptr ? &a.row : nullptr, x, multiplier);
  }
  write_rows<Rule>(a, p, out, x, multiplier, a.row.codes == nullptr);
}

}  // namespace mbt::cuda

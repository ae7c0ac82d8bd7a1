// The inner loops of quantization on one thread, compiled once per CPU level. All levels give the same bits: every operation is an integer
// operation or one correctly rounded fp32 operation, lane by lane.
#pragma once

#include <cstdint>

#include "core/quant/quant_spec.h"
#include "kernels/cpu/level.h"

namespace mbt::cpu {

/// How quantization reads its input. f32_as_*: rounded to that dtype first.
enum class SourceKind : uint8_t { bf16, f16, f32, f32_as_bf16, f32_as_f16 };

/// A row-major matrix; `stride` elements lie between the starts of two rows.
struct Source {
  const void* data;
  SourceKind kind;
  int64_t stride;
};

/// Matrices are worked on in tiles of kTileRows x kTileCols, of which every block size is a divisor.
inline constexpr int64_t kTileRows = 128;
inline constexpr int64_t kTileCols = 512;
inline constexpr int64_t kHadamardSize = 16;
/// Elements that share one 128-bit random number.
inline constexpr int64_t kRandomGroup = 16;

/// Random bits of stochastic rounding for a tile: row r, column c takes byte c % 16 of philox4x32(seed, stream, first + r * row_step + c /
/// 16).
struct RandomBits {
  uint64_t seed;
  uint64_t stream;
  uint64_t first;
  uint64_t row_step;
};

/// Quantizes one tile, rows <= kTileRows and cols <= kTileCols, in blocks of block_rows x block_cols (1 x b, b x 1 or b x b).
struct BlockJob {
  Source x;
  int64_t rows;
  int64_t cols;
  int64_t block_rows;
  int64_t block_cols;
  QuantFormat format;
  float format_max;           // max_of(format)
  QuantScaling scaling;       // blockwise, mxfp8 or nvfp4
  float global_encode_scale;  // nvfp4
  uint8_t* codes;
  int64_t codes_stride;
  void* scale_inv;           // f32 or u8, as QuantCopy says
  int64_t scale_stride;      // entries between two rows of blocks
  const RandomBits* random;  // null: round to nearest
};

/// The way back: out = code * block scale, as f32 or bf16. A null scale_inv stands for 1.
struct DecodeJob {
  const uint8_t* codes;
  int64_t codes_stride;
  int64_t rows;
  int64_t cols;
  int64_t block_rows;
  int64_t block_cols;
  QuantFormat format;
  QuantScaling scaling;
  const void* scale_inv;
  int64_t scale_stride;
  bool to_bf16;
  void* out;
  int64_t out_stride;
};

}  // namespace mbt::cpu

// clang-format off
MBT_LEVELS(
/// fp32 bits of max |x| over rows x cols; NaN is dropped, Inf is not.
uint32_t amax_bits(const Source& x, int64_t rows, int64_t cols);
/// codes = cast(x * scale), one scale for all.
void encode_scaled(const Source& x, int64_t rows, int64_t cols, float scale, QuantFormat format, uint8_t* codes, int64_t codes_stride);
void encode_blocks(const BlockJob& job);
/// Of one row: amax[c] = max(amax[c], fp32 bits of |x[c]|); NaN is dropped, Inf is not.
void raise_column_amax(const Source& x, int64_t cols, uint32_t* amax);
/// Of one row: codes[c] = cast(x[c] * multiplier[c]).
void encode_columns(const Source& x, int64_t cols, const float* multiplier, QuantFormat format, uint8_t* codes);
void decode_blocks(const DecodeJob& job);
/// out[rows][kTileCols] f32 = the Hadamard transform over the 16 rows of x, rounded to bf16. With fewer than 16 rows: x itself, rounded.
void hadamard_group(const Source& x, int64_t rows, int64_t cols, float* out);
)
// clang-format on

// Loops of tiled attention: everything between its matrix products. Tiles are dense and row-major; `operand` is the type in which
// products read them, f32 or bf16.
#pragma once

#include <cstdint>

#include "core/tensor/tensor_view.h"
#include "kernels/cpu/level.h"

namespace mbt::cpu {

/// One step of the online softmax over a tile of scores [rows, cols]. Row r sees columns [0, visible + r).
///   max' = max(max, scale * score);  p = exp(scale * score - max'), 0 when not seen;  sum, out *= exp(max - max');  sum += row sums of p
struct SoftmaxTile {
  int64_t rows, cols, visible;
  float scale;
  bool is_first;        // of its rows: max, sum and out hold nothing yet
  const float* scores;  // [rows, cols]
  void* p;              // [rows, cols] operand
  DType operand;
  float* max;  // [rows]
  float* sum;  // [rows]
  float* out;  // [rows, width]
  int64_t width;
};

/// Backward of a tile of transposed scores [keys, queries]. Key r is seen by queries [hidden + r, queries).
///   p = exp(scale * score - lse);  d_score = scale * p * (d_p - delta), as the gradient of the unscaled score; 0 when not seen
struct SoftmaxBwdTile {
  int64_t keys, queries;
  int64_t stride;  // of all four matrices, >= queries; p and d_score are 0 beyond
  int64_t hidden;
  float scale;
  const float* scores;  // [keys, stride]
  const float* d_p;     // [keys, stride]
  const float* lse;     // [queries]
  const float* delta;   // [queries]
  void* p;              // [keys, stride] operand
  void* d_score;        // [keys, stride] operand
  DType operand;
};

}  // namespace mbt::cpu

// clang-format off
MBT_LEVELS(
void attention_softmax(const SoftmaxTile& tile);
void attention_softmax_bwd(const SoftmaxBwdTile& tile);
/// out[padded_rows, width] = rows of x that lie `stride` elements apart, as `operand`; zeros beyond `rows`.
void attention_pack(const void* x, DType type, int64_t rows, int64_t stride, int64_t width, int64_t padded_rows, void* out, DType operand);
/// Rows of out, `stride` elements apart = round(x[rows, width] * row_scale[row]); row_scale may be null.
void attention_unpack(const float* x, const float* row_scale, int64_t rows, int64_t width, void* out, DType type, int64_t stride);
/// Adding one vector to all keys changes no softmax, so the gradients of the keys sum to zero over the rows of a sequence. Rounding leaves
/// about 1e-7 of their size, and a key bias, whose gradient is that sum, would be trained on the noise: Adam divides by its root. The
/// smallest element but zero of each column of x[rows, width] takes the difference, which is within rounding of the others; zeros stay:
/// such keys take part in no loss.
void attention_cancel_columns(float* x, int64_t rows, int64_t width);
/// delta[row] = sum over columns of a * b; rows of both `stride` elements apart.
void attention_row_dots(const void* a, const void* b, DType type, int64_t rows, int64_t stride, int64_t width, float* delta);
)
// clang-format on

// A quantized matrix: codes, scales and amax of up to two copies, traveling together.
#pragma once

#include <cstdint>

#include "core/quant/quant_spec.h"
#include "core/tensor/tensor_view.h"

namespace mbt {

/// One copy (row-wise or column-wise) of a logical [rows, cols] matrix.
/// codes      u8 [rows, cols], one code a byte (e2m1 in the low nibble, high nibble zero).
///            is_transposed: u8 [cols, rows] instead, for a GEMM that wants the summed dimension contiguous. Only column-wise copies, never
///            nvfp4's, and only on backends that ask for it (Backend::wants_transposed, never the CPU's): codes and scales are then of
///            their own, not shared. Scales keep the order below.
/// scale_inv  multiplies to restore. Per tensor: f32 [1]. Row-wise blocks of b: [rows, ceil(cols/b)]; column-wise: [ceil(rows/b), cols];
///            square: [ceil(rows/b), ceil(cols/b)]. f32 for blockwise, u8 E8M0 for mxfp8, u8 E4M3 for nvfp4.
/// global_amax  nvfp4 only, f32 [1]: the tensor's amax G behind the second-level scale (of the transformed tensor for a Hadamard copy).
struct QuantCopy {
  void* codes = nullptr;
  void* scale_inv = nullptr;
  float* global_amax = nullptr;
  bool is_transposed = false;
  bool empty() const { return codes == nullptr; }
};

struct QuantTensorView {
  QuantSpec spec{};
  int64_t rows = 0;
  int64_t cols = 0;
  QuantCopy rowwise{};     ///< for GEMMs that sum over cols
  QuantCopy columnwise{};  ///< for GEMMs that sum over rows; when spec.columnwise_shares_codes() it aliases `rowwise`, unless transposed
  const float* scale = nullptr;  ///< delayed only, f32 [1]: the scale to quantize with
  float* amax = nullptr;         ///< f32 [1]: receives max(old, amax of the tensor); delayed: the staging slot of the history

  bool empty() const { return rowwise.empty() && columnwise.empty(); }
};

/// Sizes in elements and bytes of one copy's arrays; the one place that knows the shapes above.
struct QuantCopyShape {
  int64_t scale_rows = 0;
  int64_t scale_cols = 0;
  int64_t codes_bytes = 0;
  int64_t scale_bytes = 0;  ///< of the whole scale array
};

inline QuantCopyShape quant_copy_shape(const QuantSpec& s, int64_t rows, int64_t cols, bool is_columnwise) {
  const int64_t b = s.block_size();
  auto blocks = [b](int64_t n) { return b ? (n + b - 1) / b : 1; };
  QuantCopyShape r;
  if (s.is_per_tensor()) {
    r.scale_rows = r.scale_cols = 1;
  } else {
    r.scale_rows = s.is_2d || is_columnwise ? blocks(rows) : rows;
    r.scale_cols = s.is_2d || !is_columnwise ? blocks(cols) : cols;
  }
  r.codes_bytes = rows * cols;
  r.scale_bytes = r.scale_rows * r.scale_cols * s.scale_bytes();
  return r;
}

}  // namespace mbt

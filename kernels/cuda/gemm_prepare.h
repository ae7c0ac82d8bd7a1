// What products of quantised operands need before cuBLASLt is called.
#pragma once

#include "core/backend/backend.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

constexpr size_t kScalarBytes = 256;  ///< alpha and beta on the device

/// One byte an element of each operand of core/ops/gemm.h.
struct GemmOperandBytes {
  size_t a, b;
  explicit GemmOperandBytes(const GemmShape& s)
      : a(static_cast<size_t>(s.tokens * (s.role == GemmRole::fprop ? s.in_features : s.out_features))),
        b(static_cast<size_t>(s.role == GemmRole::wgrad ? s.tokens * s.in_features : s.out_features * s.in_features)) {}
};

/// out[cols, rows] = codes[rows, cols]^T, bytes.
void launch_transpose_codes(const uint8_t* codes, int64_t rows, int64_t cols, uint8_t* out, const LaunchContext& context);

/// out[0] = the product of the operands' factors that decoded values leave out (per-tensor scale_inv; nvfp4: amax / 2688), out[1] = 1 when
/// accumulating, else 0.
void launch_gemm_alpha(const QuantTensorView& a, bool a_columnwise, const QuantTensorView& b, bool b_columnwise, bool accumulate, float* out,
                       const LaunchContext& context);

}  // namespace mbt::cuda

// Matrix products of linear layers, on plain or quantized operands.
#pragma once

#include "core/ops/op_common.h"

namespace mbt {

/// Which product of a linear layer Y[M,N] = X[M,K] W[N,K]^T. It fixes the layout, and with it the quantized copy that is read:
/// the copy whose blocks run along the summed dimension.
///   fprop  D[M,N] = A[M,K] B[N,K]^T   A = X row-wise,      B = W row-wise
///   dgrad  D[M,K] = A[M,N] B[N,K]     A = dY row-wise,     B = W column-wise
///   wgrad  D[N,K] = A[M,N]^T B[M,K]   A = dY column-wise,  B = X column-wise
enum class GemmRole : uint8_t { fprop, dgrad, wgrad };

constexpr std::string_view name_of(GemmRole r) { return r == GemmRole::fprop ? "fprop" : r == GemmRole::dgrad ? "dgrad" : "wgrad"; }

/// A plain act tensor, or a quantized one. Implicit from both, so that calls read naturally.
struct GemmOperand {
  ConstTensorView plain{};
  QuantTensorView quant{};

  GemmOperand(const ConstTensorView& t) : plain(t) {}  // NOLINT
  GemmOperand(const TensorView& t) : plain(t) {}       // NOLINT
  GemmOperand(const QuantTensorView& q) : quant(q) {}  // NOLINT
  bool is_quantized() const { return !quant.empty(); }
  int64_t rows() const { return is_quantized() ? quant.rows : plain.rows(); }
  int64_t cols() const { return is_quantized() ? quant.cols : plain.cols(); }
};

/// d = sum (+ bias) (+ d when accumulate): fp32 accumulation, scales of quantized operands applied exactly
/// (numerics: docs/mixed-precision.md), one rounding to d's dtype.
struct GemmArgs {
  GemmRole role;
  GemmOperand a;  // both operands plain of one act dtype, or both quantized
  GemmOperand b;
  TensorView d;                    // act or f32
  ConstTensorView bias = {};       // [columns of d], fprop only; dtype of the plain act or of d
  bool accumulate = false;         // d += : wgrad into f32 main gradients
  bool fast_accumulation = false;  // FP8 on Hopper only: allowed to keep fewer accumulator bits

  int64_t d_rows() const { return role == GemmRole::wgrad ? a.cols() : a.rows(); }
  int64_t d_cols() const { return role == GemmRole::fprop ? b.rows() : b.cols(); }
  int64_t summed() const { return role == GemmRole::wgrad ? a.rows() : a.cols(); }
  void check(const char* op) const {
    expect_shape(op, "d", d, {d_rows(), d_cols()});
    const int64_t other = role == GemmRole::fprop ? b.cols() : b.rows();
    MBT_CHECK(summed() == other, "{} {}: summed dimensions {} and {}", op, name_of(role), summed(), other);
    MBT_CHECK(a.is_quantized() == b.is_quantized(), "{} {}: one operand is quantized, the other is not", op, name_of(role));
    if (!bias.empty()) expect_shape(op, "bias", bias, {d_cols()});
    if (!a.is_quantized()) expect_dtype(op, "b", b.plain, a.plain.dtype);
  }
};

/// d_bias += sum over rows of d_y.
struct BiasBwdArgs {
  ConstTensorView d_y;  // [M,N] act
  TensorView d_bias;    // [N] f32, +=

  void check(const char* op) const { expect_tensor(op, "d_bias", d_bias, DType::f32, {d_y.cols()}); }
};

}  // namespace mbt

// RMSNorm and LayerNorm, fused with the residual addition in front of them; per-head QK-norm.
#pragma once

#include "core/ops/quant_output.h"

namespace mbt {

enum class NormKind : uint8_t { rmsnorm, layernorm };

/// h = x (+ delta), rounded to act;  rstd = 1/sqrt(mean((h - mean)^2) + eps), mean = 0 for rmsnorm;
/// y = (h - mean) * rstd * weight (+ bias). Statistics from the rounded h. quantized: y (quant_output.h).
struct NormFwdArgs {
  NormKind kind;
  ConstTensorView x;           // [N,C] act
  ConstTensorView weight;      // [C] act
  TensorView y;                // [N,C] act; must not alias x
  TensorView rstd;             // [N] f32, kept for backward
  ConstTensorView bias = {};   // [C] act, layernorm only
  TensorView mean = {};        // [N] f32, layernorm only
  ConstTensorView delta = {};  // [N,C] act: output of the sub-layer before, added to the residual stream x
  TensorView h = {};           // [N,C] act: receives x + delta; required with delta; may alias x
  float eps = 1e-5f;
  QuantOutput quantized = {};
  bool keeps_y = true;  // false: y is scratch

  void check(const char* op) const {
    const Shape s{x.rows(), x.cols()};
    expect_shape(op, "y", y, s);
    expect_tensor(op, "weight", weight, x.dtype, {x.cols()});
    expect_tensor(op, "rstd", rstd, DType::f32, {x.rows()});
    if (kind == NormKind::layernorm) {
      expect_tensor(op, "bias", bias, x.dtype, {x.cols()});
      expect_tensor(op, "mean", mean, DType::f32, {x.rows()});
    }
    if (!delta.empty()) {
      expect_tensor(op, "delta", delta, x.dtype, s);
      expect_tensor(op, "h", h, x.dtype, s);
    }
    check_quantized(op, "y", quantized, y, keeps_y);
  }
};

/// d_h (+)= gradient of y with respect to h; d_weight += sum_n d_y * x_hat; d_bias += sum_n d_y.
/// quantized: d_h, which is d_y of the linear layer that backward reaches next.
struct NormBwdArgs {
  NormKind kind;
  ConstTensorView d_y;        // [N,C] act
  ConstTensorView h;          // [N,C] act: the norm's input of forward
  ConstTensorView weight;     // [C] act
  ConstTensorView rstd;       // [N] f32
  TensorView d_h;             // [N,C] act; += when accumulate (the residual stream's gradient), else =
  TensorView d_weight;        // [C] f32, +=
  ConstTensorView mean = {};  // [N] f32, layernorm only
  TensorView d_bias = {};     // [C] f32, +=, layernorm only
  bool accumulate = true;
  QuantOutput quantized = {};

  void check(const char* op) const {
    const Shape s{h.rows(), h.cols()};
    expect_tensor(op, "d_y", d_y, h.dtype, s);
    expect_tensor(op, "d_h", d_h, h.dtype, s);
    expect_tensor(op, "weight", weight, h.dtype, {h.cols()});
    expect_tensor(op, "rstd", rstd, DType::f32, {h.rows()});
    expect_tensor(op, "d_weight", d_weight, DType::f32, {h.cols()});
    if (kind == NormKind::layernorm) {
      expect_tensor(op, "mean", mean, DType::f32, {h.rows()});
      expect_tensor(op, "d_bias", d_bias, DType::f32, {h.cols()});
    }
    check_quantized(op, "d_h", quantized, d_h);
  }
};

/// RMSNorm of each query and key head over its D values (Qwen3): qkv_out = qkv with q and k heads normalized, v copied.
struct QkNormFwdArgs {
  ConstTensorView qkv;       // [N,(H+2K)*D] act; all query heads, then all key heads, then all value heads
  ConstTensorView q_weight;  // [D] act
  ConstTensorView k_weight;  // [D] act
  TensorView qkv_out;        // [N,(H+2K)*D] act; must not alias qkv
  TensorView rstd;           // [N,H+K] f32
  int64_t num_heads;         // H
  int64_t num_kv_heads;      // K
  float eps = 1e-6f;

  void check(const char* op) const {
    const int64_t d = q_weight.cols();
    expect_shape(op, "qkv", qkv, {qkv.rows(), (num_heads + 2 * num_kv_heads) * d});
    expect_tensor(op, "qkv_out", qkv_out, qkv.dtype, qkv.shape);
    expect_tensor(op, "k_weight", k_weight, qkv.dtype, {d});
    expect_tensor(op, "rstd", rstd, DType::f32, {qkv.rows(), num_heads + num_kv_heads});
  }
};

/// d_qkv holds the gradient of qkv_out on entry and that of qkv on return (in place; the v part is untouched).
/// quantized: d_qkv as it is on return, the v part with it.
struct QkNormBwdArgs {
  TensorView d_qkv;          // [N,(H+2K)*D] act, in place
  ConstTensorView qkv;       // [N,(H+2K)*D] act: the input of forward
  ConstTensorView q_weight;  // [D] act
  ConstTensorView k_weight;  // [D] act
  ConstTensorView rstd;      // [N,H+K] f32
  TensorView d_q_weight;     // [D] f32, +=
  TensorView d_k_weight;     // [D] f32, +=
  int64_t num_heads;
  int64_t num_kv_heads;
  QuantOutput quantized = {};

  void check(const char* op) const {
    expect_tensor(op, "d_qkv", d_qkv, qkv.dtype, qkv.shape);
    expect_tensor(op, "d_q_weight", d_q_weight, DType::f32, {q_weight.cols()});
    expect_tensor(op, "d_k_weight", d_k_weight, DType::f32, {k_weight.cols()});
    expect_tensor(op, "rstd", rstd, DType::f32, {qkv.rows(), num_heads + num_kv_heads});
    check_quantized(op, "d_qkv", quantized, d_qkv);
  }
};

}  // namespace mbt

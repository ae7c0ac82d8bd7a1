// AdamW, gradient norm, and the small ops of the optimizer step. Scalars that depend on gradients stay on the device.
#pragma once

#include <limits>

#include "core/ops/op_common.h"

namespace mbt {

/// squared_norm[0] = sum over i of (grad[i] * inverse_scale)^2, accumulated in f64 over fixed chunks (independent of the thread count);
/// non_finite[0] = 1 when any grad is NaN or infinite, else 0.
struct GradNormArgs {
  ConstTensorView grad;        // [n] f32
  TensorView squared_norm;     // [1] f64
  TensorView non_finite;       // [1] i32
  float inverse_scale = 1.0f;  // 1 / loss scale
  bool accumulate = false;     // squared_norm[0] += and non_finite[0] |= instead

  void check(const char* op) const {
    expect_dtype(op, "grad", grad, DType::f32);
    expect_tensor(op, "squared_norm", squared_norm, DType::f64, {1});
    expect_tensor(op, "non_finite", non_finite, DType::i32, {1});
  }
};

/// scale[0] = min(1, max_norm / (sqrt(squared_norm) + 1e-6)) * inverse_scale; max_norm <= 0: no clipping, inverse_scale alone.
struct ClipScaleArgs {
  ConstTensorView squared_norm;  // [1] f64, of the unscaled gradients
  TensorView scale;              // [1] f32
  float max_norm;
  float inverse_scale = 1.0f;  // 1 / loss scale

  void check(const char* op) const {
    expect_tensor(op, "squared_norm", squared_norm, DType::f64, {1});
    expect_tensor(op, "scale", scale, DType::f32, {1});
  }
};

/// Decides on the device whether this step may change the weights, so that no step waits for the host:
///   skip[0] = 1 when gradients are not finite and skip_non_finite; when sqrt(squared_norm) > max_norm (a NaN is not); when the loss is not
///             finite and skip_non_finite_loss; else 0.
///   report = {loss_sum, squared_norm, non_finite, skip}: what the host reads once a step.
struct DecideStepArgs {
  ConstTensorView squared_norm;   // [1] f64, of the unscaled gradients (grad_norm)
  ConstTensorView non_finite;     // [1] i32 (grad_norm)
  TensorView skip;                // [1] i32, for adamw
  TensorView report;              // [4] f64
  ConstTensorView loss_sum = {};  // [1] f64, optional: 0
  bool skip_non_finite = false;
  bool skip_non_finite_loss = false;
  double max_norm = std::numeric_limits<double>::infinity();

  void check(const char* op) const {
    expect_tensor(op, "squared_norm", squared_norm, DType::f64, {1});
    expect_tensor(op, "non_finite", non_finite, DType::i32, {1});
    expect_tensor(op, "skip", skip, DType::i32, {1});
    expect_tensor(op, "report", report, DType::f64, {4});
    if (!loss_sum.empty()) expect_tensor(op, "loss_sum", loss_sum, DType::f64, {1});
  }
};

/// Adam with decoupled weight decay on one contiguous range:
///   g = grad * grad_scale[0];  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
///   master *= 1 - lr wd;  master -= lr * (m / bias_correction1) / (sqrt(v / bias_correction2) + eps);  param = round(master)
/// With decoupled = false, g += wd * master instead (L2 regularization).
/// A bf16 moment is widened and updated in f32. The step uses the f32 value, which is then stored rounded to nearest even.
struct AdamwArgs {
  TensorView master;      // [n] f32
  TensorView exp_avg;     // [n] f32 or bf16: m
  TensorView exp_avg_sq;  // [n] f32 or bf16, independent of exp_avg: v
  ConstTensorView grad;   // [n] f32
  float lr;
  float beta1;
  float beta2;
  float eps;
  float weight_decay;
  float bias_correction1;      // 1 - beta1^t
  float bias_correction2;      // 1 - beta2^t
  ConstTensorView grad_scale;  // [1] f32: clip coefficient / loss scale (clip_scale)
  TensorView param = {};       // [n] act: working copy, optional
  ConstTensorView skip = {};   // [1] i32: when non-zero nothing changes (fp16 overflow); optional
  bool decoupled = true;

  void check(const char* op) const {
    const Shape s{master.size()};
    expect_tensor(op, "master", master, DType::f32, s);
    expect_moment(op, "exp_avg", exp_avg, s);
    expect_moment(op, "exp_avg_sq", exp_avg_sq, s);
    expect_tensor(op, "grad", grad, DType::f32, s);
    expect_tensor(op, "grad_scale", grad_scale, DType::f32, {1});
    if (!param.empty()) expect_shape(op, "param", param, s);
  }
  static void expect_moment(const char* op, const char* name, const ConstTensorView& t, const Shape& shape) {
    expect_shape(op, name, t, shape);
    if (t.dtype != DType::f32 && t.dtype != DType::bf16)
      throw Error(fmt::format("{}: tensor '{}' is {}, expected f32 or bf16", op, name, t.str()));
  }
};

/// dst = src, converted to dst's dtype (to nearest even; fp16 and bf16 overflow to infinity). Same shape.
struct CastArgs {
  ConstTensorView src;
  TensorView dst;

  void check(const char* op) const { expect_shape(op, "dst", dst, src.shape); }
};

/// out = a + b, same shapes; out may alias a or b.
struct AddArgs {
  ConstTensorView a;  // act
  ConstTensorView b;  // act
  TensorView out;     // act

  void check(const char* op) const {
    expect_tensor(op, "b", b, a.dtype, a.shape);
    expect_tensor(op, "out", out, a.dtype, a.shape);
  }
};

/// out[0] += sum of x, in f64 over fixed chunks.
struct SumArgs {
  ConstTensorView x;  // [n] f32
  TensorView out;     // [1] f64, +=

  void check(const char* op) const {
    expect_dtype(op, "x", x, DType::f32);
    expect_tensor(op, "out", out, DType::f64, {1});
  }
};

}  // namespace mbt

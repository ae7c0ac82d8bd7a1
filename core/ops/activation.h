// Activations of the MLP.
#pragma once

#include <string_view>

#include "core/ops/quant_output.h"

namespace mbt {

/// swiglu: x [N,2F] = gate | up, y = silu(gate) * up.  geglu: y = gelu_tanh(gate) * up.  Others: x [N,F], y = f(x).
enum class ActivationKind : uint8_t { swiglu, geglu, gelu_tanh, gelu_erf, silu, relu, squared_relu };

constexpr bool is_gated(ActivationKind k) { return k == ActivationKind::swiglu || k == ActivationKind::geglu; }

/// quantized: y (quant_output.h).
struct ActivationFwdArgs {
  ActivationKind kind;
  ConstTensorView x;  // [N,F] act, or [N,2F] when gated
  TensorView y;       // [N,F] act
  QuantOutput quantized = {};
  bool keeps_y = true;  // false: y is scratch

  void check(const char* op) const {
    expect_tensor(op, "y", y, x.dtype, {x.rows(), is_gated(kind) ? x.cols() / 2 : x.cols()});
    check_quantized(op, "y", quantized, y, keeps_y);
  }
};

/// d_x = gradient with respect to x. d_x may alias neither x nor d_y. quantized: d_x.
struct ActivationBwdArgs {
  ActivationKind kind;
  ConstTensorView d_y;  // [N,F] act
  ConstTensorView x;    // [N,F] act, or [N,2F] when gated
  TensorView d_x;       // shape of x
  QuantOutput quantized = {};
  bool keeps_d_x = true;  // false: d_x is scratch

  void check(const char* op) const {
    expect_tensor(op, "d_y", d_y, x.dtype, {x.rows(), is_gated(kind) ? x.cols() / 2 : x.cols()});
    expect_tensor(op, "d_x", d_x, x.dtype, x.shape);
    check_quantized(op, "d_x", quantized, d_x, keeps_d_x);
  }
};

}  // namespace mbt

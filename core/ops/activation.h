// Activations of the MLP.
#pragma once

#include <string_view>

#include "core/ops/op_common.h"

namespace mbt {

/// swiglu: x [N,2F] = gate | up, y = silu(gate) * up.  geglu: y = gelu_tanh(gate) * up.  Others: x [N,F], y = f(x).
enum class ActivationKind : uint8_t { swiglu, geglu, gelu_tanh, gelu_erf, silu, relu, squared_relu };

constexpr bool is_gated(ActivationKind k) { return k == ActivationKind::swiglu || k == ActivationKind::geglu; }

struct ActivationFwdArgs {
  ActivationKind kind;
  ConstTensorView x;  // [N,F] act, or [N,2F] when gated
  TensorView y;       // [N,F] act

  void check() const {
    expect_tensor("activation_fwd", "y", y, x.dtype, {x.rows(), is_gated(kind) ? x.cols() / 2 : x.cols()});
  }
};

/// d_x = gradient with respect to x. d_x may alias neither x nor d_y.
struct ActivationBwdArgs {
  ActivationKind kind;
  ConstTensorView d_y;  // [N,F] act
  ConstTensorView x;    // [N,F] act, or [N,2F] when gated
  TensorView d_x;       // shape of x

  void check() const {
    expect_tensor("activation_bwd", "d_y", d_y, x.dtype, {x.rows(), is_gated(kind) ? x.cols() / 2 : x.cols()});
    expect_tensor("activation_bwd", "d_x", d_x, x.dtype, x.shape);
  }
};

}  // namespace mbt

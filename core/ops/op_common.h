// What every op header shares. An op is one argument struct: named tensors with shapes, a contract comment and check(op),
// which names the op in its errors.
// Letters: B batch, T sequence, N = B*T tokens, C model width, H query heads, K key/value heads, D head width, F feed-forward
// width, V vocabulary. Rules of all ops:
//  - parameter gradients accumulate (+=) in f32; activation gradients overwrite (=), except d_residual streams, which accumulate;
//  - required fields have no initializer, optional ones do (the build uses -Werror=missing-field-initializers);
//  - arithmetic is fp32 inside, rounded once (to nearest even) to the dtype of the output;
//  - `act` below means the activation dtype: f32, bf16 or f16, the same for all act tensors of one call.
#pragma once

#include "core/base/error.h"
#include "core/ops/op_list.h"
#include "core/quant/quant_tensor.h"
#include "core/tensor/tensor_view.h"

namespace mbt {

/// Throws when `t` is empty or not of the given shape; `op` and `name` go into the message.
inline void expect_shape(const char* op, const char* name, const ConstTensorView& t, const Shape& want) {
  if (t.empty()) throw Error(fmt::format("{}: tensor '{}' is missing, expected {}", op, name, want.str()));
  if (!(t.shape == want)) throw Error(fmt::format("{}: tensor '{}' is {}, expected shape {}", op, name, t.str(), want.str()));
}
inline void expect_dtype(const char* op, const char* name, const ConstTensorView& t, DType want) {
  if (t.dtype != want) throw Error(fmt::format("{}: tensor '{}' is {}, expected {}", op, name, t.str(), name_of(want)));
}
inline void expect_tensor(const char* op, const char* name, const ConstTensorView& t, DType dtype, const Shape& shape) {
  expect_shape(op, name, t, shape);
  expect_dtype(op, name, t, dtype);
}

}  // namespace mbt

// Quantization of tensors, and the delayed-scaling state. Bit-exact on every backend.
#pragma once

#include "core/ops/quant_output.h"

namespace mbt {

/// Fills the copies that `to.q` has (row-wise, column-wise) from x, by its spec; see core/numerics/scaling.h for the exact arithmetic.
/// With round_to = bf16 or f16 an f32 x is rounded to that dtype first: weights requantized from their fp32 masters get the very codes
/// that the rounded working weight would give.
/// Delayed: quantizes with *q.scale, writes scale_inv = 1/scale, and with stage_amax sets *q.amax = max(*q.amax, max|x|).
struct QuantizeArgs {
  ConstTensorView x;  // [rows, cols] act
  QuantOutput to;
  DType round_to = DType::f32;  // f32: no rounding

  void check(const char* op) const {
    MBT_CHECK(!to.empty(), "{}: no output copy", op);
    to.check(op, "x", x);
  }
};

enum class AmaxAlgorithm : uint8_t { most_recent, max };

/// One delayed-scaling update of n tensors at once. Column i: history[:,i], scale[i]; row 0 is the staging slot.
struct DelayedScalingUpdateArgs {
  TensorView history;       // [length, n] f32
  TensorView scale;         // [n] f32
  ConstTensorView fp8_max;  // [n] f32: max_of() the format of each
  int64_t margin;
  AmaxAlgorithm algorithm;

  void check(const char* op) const {
    expect_dtype(op, "history", history, DType::f32);
    expect_tensor(op, "scale", scale, DType::f32, {history.cols()});
    expect_tensor(op, "fp8_max", fp8_max, DType::f32, {history.cols()});
  }
};

}  // namespace mbt

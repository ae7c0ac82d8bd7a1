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

  void check() const {
    MBT_CHECK(!to.empty(), "quantize: no output copy");
    to.check("quantize", "x", x);
  }
};

enum class AmaxAlgorithm : uint8_t { most_recent, max };

/// One delayed-scaling update of n tensors at once (numerics reference 2.4). Column i: history[:,i], scale[i]; row 0 is the staging slot.
struct DelayedScalingUpdateArgs {
  TensorView history;       // [length, n] f32
  TensorView scale;         // [n] f32
  ConstTensorView fp8_max;  // [n] f32: 448 or 57344
  int64_t margin;
  AmaxAlgorithm algorithm;

  void check() const {
    expect_dtype("delayed_scaling_update", "history", history, DType::f32);
    expect_tensor("delayed_scaling_update", "scale", scale, DType::f32, {history.cols()});
    expect_tensor("delayed_scaling_update", "fp8_max", fp8_max, DType::f32, {history.cols()});
  }
};

}  // namespace mbt

// The quantized output that `quantize`, and every op that makes an operand of a quantized GEMM, can write.
#pragma once

#include "core/ops/op_common.h"

namespace mbt {

/// Where codes and scales go, and how they are made. empty(): none are wanted.
///
/// As an op's `quantized` it quantizes that op's output, rounded to its dtype. Codes, scales and amax are bit-identical to running the op
/// and then `quantize`. How much a backend fuses is up to the backend. The CUDA backend:
///  - delayed: norm and activation, forward and backward, write codes from registers; all other ops need a separate quantization pass;
///  - tensorwise, and nvfp4 without a transformed copy: the op writes partial maxima, so that no separate amax pass is needed;
///  - blockwise and mxfp8 need neither: one pass after the op.
/// Ops have a `keeps_*` flag where a plain output may have no other reader: when false, with `quantized` given, that output is scratch
/// whose contents are undefined afterwards. All other plain outputs are as without `quantized`.
struct QuantOutput {
  QuantTensorView q{};
  bool stage_amax = true;    // false in evaluation: an eval must not leak into the next update
  uint64_t random_seed = 0;  // stochastic rounding: counter-based, a function of (seed, stream, element)
  uint64_t random_stream = 0;
  const uint64_t* random_pass = nullptr;  // on the device, optional: the stream is random_stream + *random_pass * 2^24

  bool empty() const { return q.empty(); }
  /// Throws when it does not fit the tensor `x`, called `name` in op `op`.
  void check(const char* op, const char* name, const ConstTensorView& x) const {
    expect_shape(op, name, x, {q.rows, q.cols});
    MBT_CHECK(q.spec.scaling != QuantScaling::delayed || q.scale != nullptr, "{}: delayed scaling without a scale", op);
  }
};

/// For ops whose output `x` may be quantized: nothing wanted, or it fits. `keeps`: the plain output is wanted too.
inline void check_quantized(const char* op, const char* name, const QuantOutput& quantized, const ConstTensorView& x, bool keeps = true) {
  if (!quantized.empty()) quantized.check(op, name, x);
  MBT_CHECK(keeps || !quantized.empty(), "{}: neither '{}' nor its codes are wanted", op, name);
}

}  // namespace mbt

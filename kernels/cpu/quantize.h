// Quantization on the CPU: codes and scales bit for bit those of core/numerics, at every instruction level and thread count; and the
// way back as operands of an emulated GEMM.
#pragma once

#include <cstdint>

#include "core/ops/quantize.h"

namespace mbt::cpu {

/// Fills the copies that args.to.q has. One amax pass serves both copies; per-tensor and square scalings write the shared codes once.
/// x: f32, bf16 or f16, any rows and cols: a partial block has the elements that exist. A Hadamard copy leaves a last group of fewer than
/// 16 rows untransformed (in both operands of wgrad, so that their product still is the sum over all rows).
/// *q.amax (when given, and with args.stage_amax) becomes max(*q.amax, amax of x).
/// Throws Error when the spec is contradictory (nvfp4 with 8-bit codes, two unlike copies of shared codes, ...).
void quantize(const QuantizeArgs& args);

/// One update of n delayed scales; see core/numerics/scaling.h.
void delayed_scaling_update(const DelayedScalingUpdateArgs& args);

// -- operands of an emulated GEMM --------------------------------------------------------------------------------------------------------
// Real value = gemm_alpha(q) * decoded element. A GEMM multiplies decoded operands, accumulates in fp32 and scales the sum by
// gemm_alpha(a) * gemm_alpha(b). Power-of-two block scales (blockwise, mxfp8) and nvfp4's E4M3 block scales are folded into the elements;
// per-tensor scales and nvfp4's global factor are not, since they would not fit into bf16.

/// out[rows, cols] = bf16 bits. Exact, with two exceptions at the ends of the range of blockwise and mxfp8: magnitudes below 2^-126 (only
/// in blocks whose amax is below 2^-94) round to the nearest bf16 subnormal or to 0, and 2^128 (in a block that reaches bf16's largest
/// values) becomes Inf. NaN codes become NaN.
void decode_to_bf16(const QuantTensorView& q, bool columnwise, uint16_t* out);
/// The same as f32: exact down to the last code (2^-143); 2^128 becomes Inf.
void decode_to_f32(const QuantTensorView& q, bool columnwise, float* out);
/// Per tensor: scale_inv. Blockwise, mxfp8: 1. nvfp4: global_amax / 2688, so that the product of two is G_A * G_B / (6*6*448*448).
float gemm_alpha(const QuantTensorView& q, bool columnwise);

}  // namespace mbt::cpu

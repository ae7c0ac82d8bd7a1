// The quantized linear layer, written once: Y = X W^T (+ bias), dX = dY W, dW += dY^T X. The recipe's QuantSpecs travel in the tensors;
// plain and quantized layers differ only in whether those tensors are empty.
#pragma once

#include "core/backend/backend.h"
#include "core/recipe/policy.h"

namespace mbt {

/// One linear layer's parameters. weight is empty when it exists only as codes; weight_q when the layer is not quantized.
struct LinearParams {
  ConstTensorView weight;  // [out,in] act
  QuantTensorView weight_q;
  ConstTensorView bias;  // [out] act, optional
  TensorView d_weight;   // [out,in] f32, accumulated; empty without training
  TensorView d_bias;     // [out] f32
  int64_t id = 0;        // distinct for every linear layer: each draws its own random numbers
};

/// What a pass over the network is for: it decides whether amaxes are staged and where random numbers come from.
struct PassContext {
  bool is_training = true;                  ///< false: evaluation and generation; delayed amaxes are not staged
  uint64_t seed = 0;                        ///< of stochastic rounding
  uint64_t stream = 0;                      ///< distinct for every micro-batch of the run
  const uint64_t* device_stream = nullptr;  ///< on the device, added to `stream`: lets it change while the ops' arguments stay the same
  bool operator==(const PassContext&) const = default;
};

/// Returns the quantization request for the op that produces an operand of a linear layer: write q, with this pass's settings. Empty when q
/// is empty.
QuantOutput quantized_for(const PassContext& pass, const LinearParams& w, const QuantTensorView& q);
/// Quantizes x into q. For an x whose op has not done so already; does nothing when q is empty.
void quantize_for(Backend& backend, const PassContext& pass, const LinearParams& w, ConstTensorView x, const QuantTensorView& q);

/// y = x W^T + bias. A quantized layer reads x_q alone, whose copies serve wgrad later.
void linear_fwd(Backend& backend, const LinearPrecision& precision, const LinearParams& w, ConstTensorView x, const QuantTensorView& x_q,
                TensorView y);

/// d_x = d_y W; d_weight += d_y^T x; d_bias += sum d_y. A quantized layer reads x_q and dy_q; d_y too when it has a bias.
void linear_bwd(Backend& backend, const LinearPrecision& precision, const LinearParams& w, ConstTensorView x, const QuantTensorView& x_q,
                ConstTensorView d_y, const QuantTensorView& dy_q, TensorView d_x);

}  // namespace mbt

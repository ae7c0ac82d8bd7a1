#include "core/model/linear.h"

namespace mbt {

QuantOutput quantized_for(const PassContext& pass, const LinearParams& w, const QuantTensorView& q) {
  if (q.empty()) return {};
  const uint64_t stream = pass.stream << 24 | static_cast<uint64_t>(w.id);  // at most 2^24 linear layers
  return {.q = q, .stage_amax = pass.is_training, .random_seed = pass.seed, .random_stream = stream, .random_pass = pass.device_stream};
}

void quantize_for(Backend& backend, const PassContext& pass, const LinearParams& w, ConstTensorView x, const QuantTensorView& q) {
  if (!q.empty()) backend.quantize({.x = x, .to = quantized_for(pass, w, q)});
}

void linear_fwd(Backend& backend, const LinearPrecision& precision, const LinearParams& w, ConstTensorView x, const QuantTensorView& x_q,
                TensorView y) {
  if (!precision.is_quantized()) {
    backend.gemm({.role = GemmRole::fprop, .a = x, .b = w.weight, .d = y, .bias = w.bias});
    return;
  }
  backend.gemm(
      {.role = GemmRole::fprop, .a = x_q, .b = w.weight_q, .d = y, .bias = w.bias, .fast_accumulation = precision.fast_accumulation_fprop});
}

void linear_bwd(Backend& backend, const LinearPrecision& precision, const LinearParams& w, ConstTensorView x, const QuantTensorView& x_q,
                ConstTensorView d_y, const QuantTensorView& dy_q, TensorView d_x) {
  if (!w.bias.empty()) backend.bias_bwd({.d_y = d_y, .d_bias = w.d_bias});
  if (!precision.is_quantized()) {
    backend.gemm({.role = GemmRole::dgrad, .a = d_y, .b = w.weight, .d = d_x});
    backend.gemm({.role = GemmRole::wgrad, .a = d_y, .b = x, .d = w.d_weight, .accumulate = true});
    return;
  }
  backend.gemm({.role = GemmRole::dgrad, .a = dy_q, .b = w.weight_q, .d = d_x});
  backend.gemm({.role = GemmRole::wgrad, .a = dy_q, .b = x_q, .d = w.d_weight, .accumulate = true});
}

}  // namespace mbt

#include "kernels/cuda/quantize/quantize_fused.h"

namespace mbt::cuda {
namespace {

Fusion fusion_of(const QuantOutput& to, const ConstTensorView& x) {
  if (to.empty()) return Fusion::none;
  check_quantized_spec(to.q);
  const QuantSpec& spec = to.q.spec;
  if (x.size() == 0 || x.dtype == DType::f32) return Fusion::none;
  if (spec.scaling == QuantScaling::delayed) return to.q.rowwise.empty() && to.q.columnwise.is_transposed ? Fusion::none : Fusion::codes;
  if (spec.scaling == QuantScaling::tensorwise) return Fusion::amax;
  const bool is_transformed = spec.hadamard_columnwise && !to.q.columnwise.empty();
  return spec.scaling == QuantScaling::nvfp4 && !is_transformed ? Fusion::amax : Fusion::none;
}

}  // namespace

QuantizedOutput::QuantizedOutput(const ConstTensorView& x, const QuantOutput& to, const LaunchContext& context)
    : x_(x), to_(to), context_(context), fusion_(fusion_of(to, x)) {}

FusedQuant QuantizedOutput::quant(int64_t blocks, float* maxima) {
  if (fusion_ == Fusion::none) return {};
  if (fusion_ == Fusion::amax) {
    if (maxima == nullptr) maxima = context_.scratch.get<float>(static_cast<size_t>(blocks));
    maxima_ = maxima;
    maxima_count_ = static_cast<int>(blocks);
    return {.parts = maxima};
  }
  const QuantTensorView& q = to_.q;
  auto* codes = static_cast<uint8_t*>((q.rowwise.empty() ? q.columnwise : q.rowwise).codes);
  return {.codes = codes,
          .scale = q.scale,
          .row_scale_inv = static_cast<float*>(q.rowwise.scale_inv),
          .column_scale_inv = static_cast<float*>(q.columnwise.scale_inv),
          .amax = staged_amax(to_),
          .format = q.spec.format,
          .is_vector = is_aligned(codes, 8)};
}

void QuantizedOutput::finish() const {
  if (to_.empty()) return;
  if (fusion_ == Fusion::codes) {
    if (to_.q.columnwise.is_transposed) launch_transposed_copy(to_, context_);
    return;
  }
  LaunchContext context = context_;
  context.known_amax = few_parts(maxima_, maxima_count_, context_);
  launch_quantize({.x = x_, .to = to_}, context);
}

void launch_quantize_output(const ConstTensorView& x, const QuantOutput& to, const LaunchContext& context) {
  if (!to.empty()) launch_quantize({.x = x, .to = to}, context);
}

}  // namespace mbt::cuda

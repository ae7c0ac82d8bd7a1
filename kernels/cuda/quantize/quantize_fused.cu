#include "kernels/cuda/quantize/quantize_fused.h"

namespace mbt::cuda {

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

FusedQuant fused_quant(const QuantOutput& to, Fusion fusion, float* parts) {
  if (fusion != Fusion::codes) return {.parts = parts};
  const QuantTensorView& q = to.q;
  auto* codes = static_cast<uint8_t*>((q.rowwise.empty() ? q.columnwise : q.rowwise).codes);
  return {.codes = codes,
          .scale = q.scale,
          .row_scale_inv = static_cast<float*>(q.rowwise.scale_inv),
          .column_scale_inv = static_cast<float*>(q.columnwise.scale_inv),
          .amax = staged_amax(to),
          .is_e5m2 = q.spec.format == QuantFormat::e5m2,
          .is_vector = is_aligned(codes, 8)};
}

void launch_rest_of_quantize(const ConstTensorView& x, const QuantOutput& to, Fusion fusion, AmaxParts parts,
                             const LaunchContext& context) {
  if (to.empty()) return;
  if (fusion != Fusion::codes) return launch_quantize({.x = x, .to = to}, fusion == Fusion::amax ? parts : AmaxParts{}, context);
  if (to.q.columnwise.is_transposed) launch_transposed_copy(to, context);
}

}  // namespace mbt::cuda

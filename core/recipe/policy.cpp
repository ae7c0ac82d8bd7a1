#include "core/recipe/policy.h"

namespace mbt {
namespace {

QuantScaling scaling_of(Fp8Recipe recipe) {
  switch (recipe) {
    case Fp8Recipe::delayed: return QuantScaling::delayed;
    case Fp8Recipe::tensorwise: return QuantScaling::tensorwise;
    case Fp8Recipe::blockwise: return QuantScaling::blockwise;
    case Fp8Recipe::mxfp8: return QuantScaling::mxfp8;
  }
  return QuantScaling::delayed;
}

/// Hybrid takes E5M2 for gradients: their range is wide, and forward tensors need the mantissa.
LinearPrecision fp8_linear(const ModelConfig& m) {
  const QuantScaling scaling = scaling_of(m.fp8_recipe);
  const QuantFormat grad_format = m.fp8 == Fp8Format::hybrid ? QuantFormat::e5m2 : QuantFormat::e4m3;
  LinearPrecision p;
  p.input = QuantSpec{.format = QuantFormat::e4m3, .scaling = scaling};
  p.weight = QuantSpec{.format = QuantFormat::e4m3, .scaling = scaling, .is_2d = scaling == QuantScaling::blockwise};
  p.grad_output = QuantSpec{.format = grad_format, .scaling = scaling};
  p.fast_accumulation_fprop = scaling != QuantScaling::blockwise;
  return p;
}

/// Square weight blocks let dgrad reuse the forward codes. The Hadamard transforms of X and dY cancel in wgrad's sum over tokens, the only
/// product that reads column-wise copies of them; stochastic rounding keeps small gradients unbiased.
LinearPrecision nvfp4_linear() {
  const QuantSpec plain{.format = QuantFormat::e2m1, .scaling = QuantScaling::nvfp4};
  LinearPrecision p;
  p.input = plain;
  p.input->hadamard_columnwise = true;
  p.weight = plain;
  p.weight->is_2d = true;
  p.grad_output = plain;
  p.grad_output->hadamard_columnwise = true;
  p.grad_output->stochastic_rounding = true;
  return p;
}

}  // namespace

LinearPrecision quantized_linear(const ModelConfig& model) {
  if (model.fp8) return fp8_linear(model);
  if (model.fp4) return nvfp4_linear();
  return {};
}

bool is_high_precision_layer(const ModelConfig& m, int64_t layer) {
  return m.first_last_layers_bf16 && (layer < m.num_layers_at_start_in_bf16 || layer >= m.num_layers - m.num_layers_at_end_in_bf16);
}

PrecisionPolicy make_policy(const ModelConfig& model, const DdpConfig& ddp) {
  PrecisionPolicy policy;
  policy.act = model.bf16 ? DType::bf16 : model.fp16 ? DType::f16 : DType::f32;
  policy.grad_reduce = ddp.grad_reduce_in_fp32 ? DType::f32 : policy.act;
  policy.quantized_params = (model.fp8 && model.fp8_param) || (model.fp4 && model.fp4_param);
  policy.is_delayed = model.fp8 && model.fp8_recipe == Fp8Recipe::delayed;
  policy.amax_history_len = model.fp8_amax_history_len;
  policy.margin = model.fp8_margin;
  policy.amax_algorithm = model.fp8_amax_compute_algo == AmaxChoice::max ? AmaxAlgorithm::max : AmaxAlgorithm::most_recent;

  const LinearPrecision quantized = quantized_linear(model);
  policy.layers.resize(static_cast<size_t>(model.num_layers));
  for (int64_t i = 0; i < model.num_layers; ++i)
    if (!is_high_precision_layer(model, i)) policy.layers[static_cast<size_t>(i)] = quantized;
  return policy;
}

}  // namespace mbt

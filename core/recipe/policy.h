// A recipe resolved for one model: for each layer and each operand of its GEMMs, how it is quantized. Nothing outside core/recipe asks
// which recipe is running.
#pragma once

#include <optional>
#include <vector>

#include "core/config/run_config.h"
#include "core/ops/quantize.h"
#include "core/quant/quant_spec.h"
#include "core/tensor/dtype.h"

namespace mbt {

/// The quantization of one linear layer's three GEMMs; empty specs mean plain GEMMs in the activation dtype.
struct LinearPrecision {
  std::optional<QuantSpec> input;
  std::optional<QuantSpec> weight;
  std::optional<QuantSpec> grad_output;
  bool fast_accumulation_fprop = false;
  bool is_quantized() const { return weight.has_value(); }
};

struct PrecisionPolicy {
  DType act = DType::f32;          ///< activations, plain weights, gradients of activations
  DType main_grad = DType::f32;    ///< accumulated weight gradients: fp32 in every recipe (docs/mixed-precision.md, "Gradients")
  DType grad_reduce = DType::f32;  ///< in which gradients travel between ranks: fp32 with grad_reduce_in_fp32, else act
  bool quantized_params = false;   ///< fp8_param / fp4_param: quantized weights exist only as codes
  // delayed scaling
  bool is_delayed = false;
  int64_t amax_history_len = 1;
  int64_t margin = 0;
  AmaxAlgorithm amax_algorithm = AmaxAlgorithm::most_recent;

  std::vector<LinearPrecision> layers;  ///< one a layer; all four linear layers of a layer share it
  const LinearPrecision& linear(int64_t layer) const { return layers[static_cast<size_t>(layer)]; }
};

/// Returns the precision of a quantized layer at any position; specs are empty without fp8 and fp4. `model` must be validated.
LinearPrecision quantized_linear(const ModelConfig& model);

/// first_last_layers_bf16 keeps layer i (0-based) in 16 bits: i < start or i >= num_layers - end.
bool is_high_precision_layer(const ModelConfig& model, int64_t layer);

/// From the synchronized and validated config (core/recipe/resolve.h).
PrecisionPolicy make_policy(const ModelConfig& model, const DdpConfig& ddp);

}  // namespace mbt

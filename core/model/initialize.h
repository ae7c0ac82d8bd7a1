// Initializes a model's weights: by Megatron's random scheme, or from a Hugging Face folder.
#pragma once

#include "core/model/weights.h"

namespace mbt {

/// Masters := initial values of (seed, name), or of model.hf_path when it is set (vocabulary padding stays zero).
/// Weights::refresh_working() must follow.
void initialize_weights(Weights& weights, const ModelConfig& model, uint64_t seed);

}  // namespace mbt

// Chooses the Hugging Face family whose config.json can describe a model that did not come from Hugging Face.
#pragma once

#include "core/config/model_config.h"
#include "core/hf/family.h"

namespace mbt {

/// Returns the first family of the table that can describe `model`. Throws InputError with every property that stands in the way of the
/// nearest one.
const HfFamily& choose_family(const ModelConfig& model);

}  // namespace mbt

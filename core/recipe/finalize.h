// Rules within one MixedPrecisionConfig, applied before it is synchronized with the other sections.
#pragma once

#include <set>
#include <string>

#include "core/config/mixed_precision_config.h"

namespace mbt {

/// fp8_param and fp8_param_gather are one value with two names (fp4 alike). `given` names the fields that one writer - a recipe, a config
/// file's object, the command line - has set in `config`: what was given goes to the other name.
/// Returns "", or what is wrong: both given, and different.
std::string join_param_gather(MixedPrecisionConfig& config, const std::set<std::string>& given);

/// Fills what null stands for: params_dtype from fp16 and bf16, fp8_param and fp4_param from their other name.
void finalize(MixedPrecisionConfig& config);

}  // namespace mbt

// The rotary embedding in a Hugging Face config.json, the same in every family that has one.
#pragma once

#include <vector>

#include "core/config/config_input.h"
#include "core/hf/hf_json.h"

namespace mbt {

/// Returns the fields rotary_* and rope_* of section "model". Two forms are in use: rope_theta and rope_scaling at the top level, or both
/// in one object rope_parameters. In a file with both, transformers takes rope_scaling; the other must agree with it. Throws InputError
/// when they differ, for kinds of RoPE other than default and llama3, and for numbers that give no frequencies.
std::vector<Assignment> rope_assignments(const HfConfig& config);

}  // namespace mbt

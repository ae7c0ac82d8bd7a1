// The architecture in a Hugging Face config.json as fields of section "model".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json_reader.h"
#include "core/config/assign.h"

namespace mbt {

/// Reads `folder`/config.json. Throws InputError when it cannot be read; it says what to do when `folder` is a Hub name or a run folder.
JsonDocument read_hf_config(const std::string& folder);

/// Returns the architecture that `folder`/config.json describes; its model_type must be in the table of core/hf/family.h. Throws InputError
/// with the key for whatever would change the model's result and is not implemented (rope types other than llama3, experts, soft-capping,
/// quantized weights, ...). Settings that are not part of the architecture (dropout, token ids, dtype) are not read.
/// An attention with a sliding window sets model.sliding_window: it has no effect on sequences that are no longer than the window.
std::vector<Assignment> hf_assignments(const std::string& folder);
/// The same of a config.json that has been read.
std::vector<Assignment> hf_assignments(const JsonDocument& config);

/// Applies them. InputError as above, and for values out of a field's range.
void apply_hf_config(const std::string& folder, RunConfig& config, Origins& origins);

/// The model that a config.json describes; everything else in it has its default. InputError as above.
ModelConfig hf_model(const JsonDocument& config);

/// Returns "model_type" of `folder`/config.json. Throws InputError when the table does not have it.
std::string hf_model_type(const std::string& folder);
std::string hf_model_type(const JsonDocument& config);

}  // namespace mbt

// The architecture in a Hugging Face config.json as fields of section "model".
#pragma once

#include <string>
#include <vector>

#include "core/config/assign.h"

namespace mbt {

/// What `folder`/config.json says of the architecture: model_type gpt2, llama, mistral, qwen2 or qwen3. InputError names the key: what
/// would change the model's result and is not implemented (rope types other than llama3, experts, soft-capping, quantised weights, ...)
/// is refused, never ignored. Settings that do not belong to the architecture (dropout, token ids, dtype) are not looked at.
/// A sliding window bounds max_position_embeddings: on sequences no longer than the window it has no effect.
std::vector<Assignment> hf_assignments(const std::string& folder);

/// Applies them. InputError as above, and for values out of a field's range.
void apply_hf_config(const std::string& folder, RunConfig& config, Origins& origins);

/// "model_type" of `folder`/config.json, one of those above.
std::string hf_model_type(const std::string& folder);

}  // namespace mbt

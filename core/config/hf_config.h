// The architecture in a Hugging Face config.json as fields of section "model".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json_reader.h"
#include "core/config/assign.h"

namespace mbt {

/// `folder`/config.json. InputError when it cannot be read.
JsonDocument read_hf_config(const std::string& folder);

/// What `folder`/config.json says of the architecture: model_type gpt2, llama, mistral, qwen2 or qwen3. InputError names the key: what
/// would change the model's result and is not implemented (rope types other than llama3, experts, soft-capping, quantised weights, ...)
/// is refused, never ignored. Settings that do not belong to the architecture (dropout, token ids, dtype) are not looked at.
/// A sliding window bounds max_position_embeddings: on sequences no longer than the window it has no effect.
std::vector<Assignment> hf_assignments(const std::string& folder);
/// The same of a config.json that has been read.
std::vector<Assignment> hf_assignments(const JsonDocument& config);

/// Applies them. InputError as above, and for values out of a field's range.
void apply_hf_config(const std::string& folder, RunConfig& config, Origins& origins);

/// The model that a config.json describes; everything else in it has its default. InputError as above.
ModelConfig hf_model(const JsonDocument& config);

/// "model_type" of `folder`/config.json, one of those above.
std::string hf_model_type(const std::string& folder);
std::string hf_model_type(const JsonDocument& config);

/// How long sequences may be.
struct HfPositions {
  int64_t longest = 0;  ///< positions the model has, tokens
  std::optional<int64_t>
      window;         ///< tokens that attention sees, where that is less: longer sequences need an attention that is not implemented
  std::string where;  ///< of the window: "DIR/config.json:12: sliding_window"
};
HfPositions hf_positions(const std::string& folder);
HfPositions hf_positions(const JsonDocument& config);

/// Empty, or why sequences of `tokens` tokens cannot be trained on.
std::string sliding_window_problem(const HfPositions& positions, int64_t tokens);

}  // namespace mbt

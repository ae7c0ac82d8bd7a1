// What makes a model compute what it does, apart from how its settings say it: a bias on every linear layer, a default written out.
#pragma once

#include <string>
#include <vector>

#include "core/config/json_value.h"
#include "core/config/model_config.h"

namespace mbt {

/// What a property decides: which weights there are and their shapes; what is computed with them; how long sequences may be.
enum class ArchitecturePart : uint8_t { weights, arithmetic, bound };

struct ArchitectureDifference {
  std::string name;  ///< a field of the section "model", or words
  JsonValue left, right;
  ArchitecturePart part;

  /// "num_layers (2, 4)".
  std::string str() const;
};

/// Properties that differ; empty: the same architecture.
std::vector<ArchitectureDifference> architecture_differences(const ModelConfig& left, const ModelConfig& right);

}  // namespace mbt

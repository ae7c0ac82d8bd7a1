// Compares two model configs by what the models compute, not by how the settings express it.
#pragma once

#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/config/json_value.h"
#include "core/config/model_config.h"

namespace mbt {

/// What a property determines: the weights and their shapes; what is computed with them; the longest sequence.
enum class ArchitecturePart : uint8_t { weights, arithmetic, bound };

struct ArchitectureDifference {
  std::string name;  ///< a field of the section "model", or a description
  JsonValue left, right;
  ArchitecturePart part;

  /// "num_layers (2, 4)".
  std::string str() const;
};

/// A setting of the section "model" that belongs to the weights and not to a run: the shapes, what is computed with them, how far they
/// reach.
bool is_of_architecture(const Field& field);

/// Properties that differ; empty: the same architecture.
std::vector<ArchitectureDifference> architecture_differences(const ModelConfig& left, const ModelConfig& right);

}  // namespace mbt

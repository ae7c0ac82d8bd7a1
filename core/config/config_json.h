// A RunConfig as JSON, and the fields in which two differ.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/config/json_value.h"
#include "core/config/run_config.h"

namespace mbt {

/// The whole config, one object a section, fields in their order. Reading it back gives an equal config.
nlohmann::ordered_json to_json(const RunConfig& config);
/// The name of a member that says: every value of a run is here, resolved. Files of older versions do not have it.
inline constexpr const char* kResolvedMark = "$resolved";
/// The same as text with this mark, two blanks a level, without a line break at its end: run_config.json.
std::string json_text(const RunConfig& config);

struct FieldDifference {
  std::string path;  ///< "section.field"
  JsonValue left;
  JsonValue right;
};
/// The fields whose values differ, in the order of the sections.
std::vector<FieldDifference> difference(const RunConfig& left, const RunConfig& right);

}  // namespace mbt

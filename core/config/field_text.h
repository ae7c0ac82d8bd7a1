// How a field is described to people: shared by --help, the config reference and the schema.
#pragma once

#include <string>
#include <vector>

#include "core/config/field_table.h"

namespace mbt {

/// All fields with their defaults.
struct DefaultFields {
  RunConfig config;
  FieldTable table{config};

  std::vector<const Field*> of(const std::string& section) const;
};

/// The doc, with the unit in brackets.
std::string meaning(const Field& field);
/// What the field holds, as text; "" for an empty text.
std::string default_text(const Field& field);
/// Its flags beside --section.field: "--hysteresis", "--no-fp8-wgrad (false)".
std::vector<std::string> flags_of(const Field& field);
/// What stands for its value in usage: "N", "FOLDER", "true|false".
std::string value_name(const Field& field);
/// Whether expected() says more than the type: choices, a range, null.
bool has_limits(const Field& field);

}  // namespace mbt

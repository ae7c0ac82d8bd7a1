// What a run config can say, for people and for editors, made from the field lists.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace mbt {

/// JSON Schema (draft 2020-12) of run-config files: configs/schema.json.
nlohmann::ordered_json config_schema();

/// Markdown, a table a section: docs/config-reference.md.
std::string config_reference();

/// Plain text for `--help`: how to set fields, then each section's fields with default, meaning, range and alias.
std::string config_help();

}  // namespace mbt

// What a run config can say, for editors and for the docs, made from the field lists. --help: help.h
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace mbt {

/// JSON Schema (draft 2020-12) of run-config files: configs/schema.json.
nlohmann::ordered_json config_schema();

/// Markdown, a table a section: docs/config-reference.md.
std::string config_reference();

}  // namespace mbt

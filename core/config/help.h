// The config in --help and `mbtrain help`: plain text, no line longer than `width`.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace mbt {

/// How to set fields, those that people set most, and the sections.
std::string config_help(size_t width);

/// The fields of every section.
std::string config_fields_help(size_t width);

/// The fields of a section ("model"), or one field with all that is known of it: "model.num_layers", "--num-layers", "num_layers".
/// nullopt when there is neither.
std::optional<std::string> help_about(const std::string& name, size_t width);

/// What help_about() knows, to name the nearest: sections, fields, flags.
std::vector<std::string> config_topics();

}  // namespace mbt

// Run-config files: JSON with the sections as objects.
#pragma once

#include <string>

#include "core/config/config_input.h"

namespace mbt {

/// Adds the assignments of the file at `path` to `input`, in no particular order within the file, each with its line as origin.
/// Of a config that a run has saved, values that are defaults or the recipe's get the origin `resolved`: nobody has written them.
/// "mixed_precision" may be an object of its fields or a recipe's name and replaces what an earlier file said; "$schema" is ignored.
/// What cannot be used adds to `input.problems`; names and types of fields are checked when the assignments are applied.
void read_config_file(const std::string& path, ConfigInput& input);

/// The same from text; `source` names it in messages.
void read_config_text(const std::string& text, const std::string& source, ConfigInput& input);

}  // namespace mbt

// The list of all checks, and the part of it that one run needs.
#pragma once

#include <string>
#include <vector>

#include "core/config/run_config.h"
#include "core/selftest/check.h"

namespace mbt::selftest {

/// What a run with this config uses of a device, from its policy and its model.
Checks checks_for(const RunConfig& config);
/// checks_for the defaults under this recipe (a name, or a file).
Checks checks_for_recipe(const std::string& recipe);
/// What any recipe of the library and any model needs, each once.
Checks all_checks();

}  // namespace mbt::selftest

// The resolved config that a command line gives, for tests of what comes after it.
#pragma once

#include <string>
#include <vector>

#include "core/config/run_config.h"

namespace mbt::test {

/// Throws InputError as `mbtrain` would.
RunConfig resolved(const std::vector<std::string>& args);

/// Names of the built-in recipes.
std::vector<std::string> all_recipes();

}  // namespace mbt::test

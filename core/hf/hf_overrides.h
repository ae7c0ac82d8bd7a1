// Compares the user's settings with the model that model.hf_path names.
#pragma once

#include <string>
#include <vector>

#include "core/base/problem.h"
#include "core/config/assign.h"
#include "core/config/run_config.h"

namespace mbt {

/// imported: the config that the folder describes, before the user's settings. Adds a problem for each setting that changes the shapes of
/// the weights, and a note for settings with which the same weights compute something else.
void compare_with_import(const RunConfig& imported, const RunConfig& config, const Origins& origins, std::vector<Problem>& problems,
                         std::vector<std::string>& notes);

}  // namespace mbt

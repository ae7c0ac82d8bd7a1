// What settings beside model.hf_path make of the model that it names.
#pragma once

#include <string>
#include <vector>

#include "core/base/problem.h"
#include "core/config/assign.h"
#include "core/config/run_config.h"

namespace mbt {

/// imported: the config as the folder says it, before the user's settings. A problem for each setting under which the folder's weights have
/// another shape; a note for those under which the same weights compute something else.
void compare_with_import(const RunConfig& imported, const RunConfig& config, const Origins& origins, std::vector<Problem>& problems,
                         std::vector<std::string>& notes);

}  // namespace mbt

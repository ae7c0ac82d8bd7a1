// What a user should know about a precision that is valid.
#pragma once

#include <string>
#include <vector>

#include "core/config/assign.h"
#include "core/config/run_config.h"

namespace mbt {

/// Settings without effect, layers that a recipe leaves in 16 bits on a small model, sizes that a GPU would refuse: one sentence each.
std::vector<std::string> precision_notes(const RunConfig& config, int ranks, const Origins& origins);

}  // namespace mbt

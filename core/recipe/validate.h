// Rules about precision that join several fields, and what a user should know about a precision that is valid.
#pragma once

#include <string>
#include <vector>

#include "core/config/origin.h"
#include "core/config/problem.h"
#include "core/config/run_config.h"

namespace mbt {

/// Adds one problem for each broken rule (docs/mixed-precision.md, "What is refused"). From the synchronized config.
void validate_precision(const RunConfig& config, const Origins& origins, std::vector<Problem>& problems);

/// Settings without effect, layers that a recipe leaves in 16 bits on a small model, sizes that a GPU would refuse: one sentence each.
std::vector<std::string> precision_notes(const RunConfig& config, int ranks, const Origins& origins);

}  // namespace mbt

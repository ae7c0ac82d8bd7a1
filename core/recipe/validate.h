// Rules about precision that join several fields.
#pragma once

#include <vector>

#include "core/base/problem.h"
#include "core/config/origin.h"
#include "core/config/run_config.h"

namespace mbt {

/// Adds one problem for each broken rule (docs/mixed-precision.md, "What is refused"). From the synchronized config.
void validate_precision(const RunConfig& config, const Origins& origins, std::vector<Problem>& problems);

}  // namespace mbt

// Applying assignments to a RunConfig, with the origin of each value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/problem.h"
#include "core/config/origin.h"
#include "core/config/run_config.h"

namespace mbt {

struct Assignment;  // core/config/config_input.h

/// Sets each field in turn and records its origin. Adds one problem for each unknown section or field, wrong type or value out of range; it
/// names the nearest valid name or what was expected. The other assignments are still applied.
void apply_assignments(RunConfig& config, const std::vector<Assignment>& assignments, Origins& origins, std::vector<Problem>& problems);

bool is_section(std::string_view name);

/// `unknown section "modl"; did you mean "model"?`
std::string unknown_section(std::string_view name);

}  // namespace mbt

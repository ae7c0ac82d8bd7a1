// Overrides as Megatron Bridge's users write them, in fields of our own.
#pragma once

#include <string>
#include <vector>

#include "core/base/problem.h"
#include "core/config/config_input.h"

namespace mbt {

/// `assignments` with each field of Bridge's that is none here renamed, or taken out with a note why it has no effect, or refused as a
/// problem. Fields that depend on each other: bridge_joins.h. Unknown names stay: applying them says what is
/// wrong.
std::vector<Assignment> in_own_terms(const std::vector<Assignment>& assignments, std::vector<std::string>& notes,
                                     std::vector<Problem>& problems);

}  // namespace mbt

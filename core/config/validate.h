// Rules that join several fields, except those about precision (core/recipe/validate.h).
#pragma once

#include <string>
#include <vector>

#include "core/base/problem.h"
#include "core/config/run_config.h"

namespace mbt {

/// Adds one problem for each broken rule: what came, what is expected, what to do. Contract: each field is in its own range already
/// (core/config/assign.h); `ranks` >= 1 is the number of data-parallel processes. Allocates nothing that grows with the model.
void validate_shape(const RunConfig& config, int ranks, std::vector<Problem>& problems);

/// Empty, or why sequences of `tokens` tokens cannot be trained on.
std::string sliding_window_problem(const ModelConfig& model, int64_t tokens);

}  // namespace mbt

// Settings of Megatron that are several fields here.
#pragma once

#include <vector>

#include "core/config/config_input.h"

namespace mbt {

/// dataset.blend_per_split, [train, valid, test] of which each is a blend or null, is train_data_path, valid_data_path and test_data_path.
constexpr const char* kBlendPerSplit = "blend_per_split";

/// The assignments that say the same as one of Megatron's; itself, when there is nothing to take apart or it has another shape.
std::vector<Assignment> in_own_fields(const Assignment& assignment);

}  // namespace mbt

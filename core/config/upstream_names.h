// Settings of Megatron that have another shape here: lists that are several fields, flags that mean a value by being there.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/config/config_input.h"

namespace mbt {

/// dataset.blend_per_split, [train, valid, test] of which each is a blend or null, is train_data_path, valid_data_path and test_data_path.
constexpr const char* kBlendPerSplit = "blend_per_split";

/// A flag of Megatron's whose presence sets `section.field` to `value`; "--flag false" sets the opposite.
struct Switch {
  const char* flag;  ///< without dashes, '_' for '-'
  const char* section;
  const char* field;
  bool value;
};
/// nullptr when `flag` (without dashes) is none.
const Switch* find_switch(std::string_view flag);
/// All of them, for --help and the reference.
std::span<const Switch> switches();

/// What a flag of another trainer (Hugging Face, torchtitan, Megatron-LM) is called on our command line, as the end of "here ...";
/// nullptr: not known.
const char* what_it_is_here(std::string_view flag);

/// The assignments that say the same as one of Megatron's; itself, when there is nothing to take apart or it has another shape.
std::vector<Assignment> in_own_fields(const Assignment& assignment);

}  // namespace mbt

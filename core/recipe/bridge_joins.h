// Settings of Megatron Bridge that depend on each other, or make several fields of ours: those of kind special in
// core/megatron/bridge.json.
#pragma once

#include <string>
#include <vector>

#include "core/base/problem.h"
#include "core/config/config_input.h"

namespace mbt {

/// Takes them out of `assignments` and puts our fields in their place. What has no effect is a note, what is not there a problem.
void join_bridge_fields(std::vector<Assignment>& assignments, std::vector<std::string>& notes, std::vector<Problem>& problems);

/// "section.field" with '_' for '-'.
std::string path_of(const Assignment& a);
/// The value as typed, or as JSON text; a text without quotes.
std::string text_of(const Assignment& a);
/// "model.window_size (command line model.window_size)".
std::string where_of(const Assignment& a);
/// Another field with a value in the words of a command line, from where `a` came.
Assignment in_place_of(const Assignment& a, const std::string& path, const std::string& value);

}  // namespace mbt

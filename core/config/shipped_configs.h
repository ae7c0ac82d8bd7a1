// The run configs of configs/, which the binary holds: --config llama3.1_8b works wherever the program is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mbt {

/// The text of configs/NAME.json; nullptr when there is none of that name.
const char* shipped_config(std::string_view name);
std::vector<std::string> shipped_config_names();

}  // namespace mbt

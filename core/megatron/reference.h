// docs/megatron.md: what becomes of each argument of Megatron-LM.
#pragma once

#include <string>

namespace mbt {

/// The page, from the table of arguments.
std::string megatron_reference();

}  // namespace mbt

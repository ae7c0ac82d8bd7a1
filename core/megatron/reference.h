// docs/megatron.md: what becomes of each argument of Megatron-LM.
#pragma once

#include <string>

#include "core/megatron/argument_table.h"

namespace mbt {

/// The page, from the table of arguments.
std::string megatron_reference();

/// What becomes of one argument, in a line without Markdown: "optimizer.lr", "no effect: ...", "refused: ...".
std::string what_becomes_of(const MegatronArgument& argument);

}  // namespace mbt

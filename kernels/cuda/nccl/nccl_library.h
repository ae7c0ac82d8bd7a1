// NCCL as the linker sees it: nccl.h's functions, handed on to a library that is loaded when ranks connect.
#pragma once

#include <string>

namespace mbt::cuda {

/// Why NCCL cannot be loaded, and what to do; empty: it is loaded.
std::string nccl_problem();

}  // namespace mbt::cuda

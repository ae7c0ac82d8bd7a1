// cuBLASLt as the linker sees it: cublasLt.h's functions, handed on to a library that is loaded when a GPU is about to be used. No CUDA
// header.
#pragma once

#include <string>

namespace mbt::cuda {

/// Why cuBLASLt cannot be loaded, and what to do; empty: it is loaded.
std::string cublaslt_problem();
/// Of the CUDA runtime inside this program: 13000 for 13.0.
int runtime_version();

}  // namespace mbt::cuda

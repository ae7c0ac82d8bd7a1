// What the rest of kernels/ may know of the CUDA backend; no CUDA header.
#pragma once

#include <memory>
#include <string>

#include "core/backend/backend.h"

namespace mbt::cuda {

/// On GPU 0. Throws InputError without a usable one. cuBLASLt must be there: cublaslt_problem().
std::unique_ptr<Backend> make_cuda_backend();

/// Why cuBLASLt cannot be loaded, and what to do; empty: it is loaded (cublaslt_library.cpp).
std::string cublaslt_problem();
/// Of the CUDA runtime inside this program: 13000 for 13.0.
int runtime_version();

}  // namespace mbt::cuda

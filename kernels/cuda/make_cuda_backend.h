// What the rest of kernels/ may know of the CUDA backend; no CUDA header.
#pragma once

#include <memory>
#include <string>

#include "core/backend/backend.h"

namespace mbt::cuda {

/// On GPU `device`, counted as the driver does. Throws InputError when it cannot be used. cuBLASLt must be there: cublaslt_problem().
std::unique_ptr<Backend> make_cuda_backend(int device = 0);

/// Why cuBLASLt cannot be loaded, and what to do; empty: it is loaded (cublaslt_library.cpp).
std::string cublaslt_problem();
/// Of the CUDA runtime inside this program: 13000 for 13.0.
int runtime_version();

}  // namespace mbt::cuda

// What the rest of kernels/ may know of the CUDA backend; no CUDA header.
#pragma once

#include <memory>

#include "core/backend/backend.h"

namespace mbt::cuda {

/// On GPU `device`, counted as the driver does. Throws InputError when it cannot be used. cuBLASLt must be there: cublaslt_problem()
/// (gemm/cublaslt_library.h).
std::unique_ptr<Backend> make_cuda_backend(int device = 0);

}  // namespace mbt::cuda

// What the rest of kernels/ may know of the CUDA backend; no CUDA header.
#pragma once

#include <memory>

#include "core/backend/backend.h"

namespace mbt::cuda {

/// The machine has a driver and a GPU that the backend can use.
bool has_usable_gpu();
/// On GPU 0. Throws InputError without a usable one.
std::unique_ptr<Backend> make_cuda_backend();

}  // namespace mbt::cuda

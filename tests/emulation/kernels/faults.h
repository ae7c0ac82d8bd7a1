// Kernels with one planted fault each, for the tests of what the emulated device notices. They compile with nvcc as well.
#pragma once

#include <string>

#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

/// Runs the faulty kernel of that name on one block of 64 threads (order_of_blocks: on 50). `out` and `in` have 64 elements.
void launch_fault(const std::string& name, float* out, const float* in);

}  // namespace mbt::cuda

// cuBLASLt on the host: multiplies what a Product describes, read strictly by cuBLASLt's documented contract, and refuses what cuBLASLt
// refuses on a GPU of the emulated device's compute capability. It knows nothing of how products are made
// (kernels/cuda/gemm/gemm_prepare.cpp).
#pragma once

#include <string>

#include "kernels/cuda/gemm/gemm_rules.h"

namespace mbt::cuda {

/// Why cuBLASLt would refuse; empty: it would not.
std::string refusal(const Product& product, const GemmDevice& device);
/// Sums in double, one rounding to fp32, one to D's type. All memory must be the host's too.
void multiply_on_host(const Product& product);

/// What the twin says its version is; 13.1 unless a test sets another.
size_t& twin_library_version();

}  // namespace mbt::cuda

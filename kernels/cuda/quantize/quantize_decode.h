// Codes back to values, for products that a GPU does not take as they are.
#pragma once

#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// The copy's values as the GEMM multiplies them, logical [rows, cols] order: bf16 out (exact: codes with their power-of-two and E4M3 block
/// scales; per-tensor factors go into the GEMM's alpha).
void launch_decode(const QuantTensorView& q, bool columnwise, TensorView out, const LaunchContext& context);

}  // namespace mbt::cuda

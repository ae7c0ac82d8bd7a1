// The values that codes and scales represent, computed element by element on the host. Fast decoders are tested against this definition.
#pragma once

#include <vector>

#include "core/quant/quant_tensor.h"

namespace mbt {

/// The represented values [rows, cols] of one copy of `q`, whose pointers are host memory: code * scale_inv in fp32, for nvfp4
/// code * block scale * global factor in this order; of transposed codes too. Of a Hadamard copy these are values of the
/// transformed tensor.
std::vector<float> dequantize(const QuantTensorView& q, bool columnwise);

}  // namespace mbt

// What codes and scales stand for, element by element on the host: the definition that fast decoders are tested against.
#pragma once

#include <vector>

#include "core/quant/quant_tensor.h"

namespace mbt {

/// The represented values [rows, cols] of one copy of `q`, whose pointers are host memory: code * scale_inv in fp32, for nvfp4
/// code * block scale * global factor in this order; of transposed codes too. Of a Hadamard copy these are values of the
/// transformed tensor.
std::vector<float> dequantize(const QuantTensorView& q, bool columnwise);

}  // namespace mbt

// What the files of quantization on the CPU share.
#pragma once

#include <cstdint>

#include "core/numerics/scaling.h"
#include "core/quant/quant_spec.h"

namespace mbt::cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace mbt::cpu

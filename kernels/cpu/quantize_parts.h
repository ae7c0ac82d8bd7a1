// What the files of quantization on the CPU share.
#pragma once

#include <cstdint>

#include "core/numerics/scaling.h"
#include "core/quant/quant_spec.h"

namespace mbt::cpu {

constexpr float format_max(QuantFormat f) { return f == QuantFormat::e4m3 ? kE4m3Max : f == QuantFormat::e5m2 ? kE5m2Max : kE2m1Max; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace mbt::cpu

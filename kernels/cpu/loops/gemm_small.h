// Small fp32 products with sums in double: at this size the accuracy is free, and tiny models, which are what one compares with another
// program's numbers, come out as close to exact arithmetic as fp32 storage allows.
#pragma once

#include <cstdint>

#include "kernels/cpu/level.h"

/// As gemm_f32 (loops/gemm.h), on one thread.
MBT_LEVELS(void gemm_f32_small(int64_t m, int64_t n, int64_t k, const float* a, bool a_is_transposed, const float* b, bool b_is_transposed,
                               float* c, float alpha, const float* bias, bool accumulate);)

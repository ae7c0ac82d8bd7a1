// Products of a few rows with a weight, as when a model writes text token by token: the weight is read once, in its own dtype. Widening it
// first, as larger products do where fp32 is what multiplies, would move five times as many bytes.
#pragma once

#include "core/tensor/tensor_view.h"
#include "kernels/cpu/level.h"

// clang-format off
MBT_LEVELS(
/// sum[m,n] = a[m,k] b[n,k]^T: a and sum f32, b any act dtype, all dense and row-major. Each element sums over k in the same order whatever
/// m and the number of threads.
void gemm_few_rows(int64_t m, const float* a, const ConstTensorView& b, float* sum);
)
// clang-format on

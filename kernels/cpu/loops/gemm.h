// Loops around matrix products: the fp32 product for builds without oneDNN, exact widening of operands, and the last step of a product.
#pragma once

#include <cstdint>

#include "core/tensor/tensor_view.h"
#include "kernels/cpu/level.h"

// clang-format off
MBT_LEVELS(
/// c[m,n] = alpha * op(a) op(b) (+ bias[n]) (+ c), dense and row-major: a is [m,k] or, transposed, [k,m]; b is [k,n] or, transposed, [n,k].
/// Each element sums over k in the same order whatever the number of threads.
void gemm_f32(int64_t m, int64_t n, int64_t k, const float* a, bool a_is_transposed, const float* b, bool b_is_transposed, float* c,
              float alpha, const float* bias, bool accumulate);
/// out[rows of x, cols] = columns [first_col, first_col + cols) of x (any act dtype) as f32, exact.
void gemm_widen(const ConstTensorView& x, int64_t first_col, int64_t cols, float* out);
/// out = round(alpha * sum (+ bias) (+ out)): sum is f32 of out's shape, out any act dtype, bias [columns] or null.
void gemm_finish(const float* sum, float alpha, const float* bias, bool accumulate, const TensorView& out);
)
// clang-format on

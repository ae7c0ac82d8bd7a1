#include "kernels/cpu/loops/gemm_small.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

constexpr int64_t kStrip = 64;  // columns of c summed at once

}  // namespace

void gemm_f32_small(int64_t m, int64_t n, int64_t k, const float* a, bool a_is_transposed, const float* b, bool b_is_transposed, float* c,
                    float alpha, const float* bias, bool accumulate) {
  const int64_t b_next_k = b_is_transposed ? 1 : n, b_next_n = b_is_transposed ? k : 1;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t first = 0; first < n; first += kStrip) {
      const int64_t width = n - first < kStrip ? n - first : kStrip;
      double sum[kStrip] = {};
      for (int64_t p = 0; p < k; ++p) {
        const double x = a_is_transposed ? a[p * m + i] : a[i * k + p];
        const float* row = b + p * b_next_k + first * b_next_n;
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) sum[j] += x * static_cast<double>(row[j * b_next_n]);
      }
      float* out = c + i * n + first;
      for (int64_t j = 0; j < width; ++j) {
        double value = sum[j] * alpha + (bias ? bias[first + j] : 0.0f);
        if (accumulate) value += out[j];
        out[j] = static_cast<float>(value);
      }
    }
  }
}

}  // namespace mbt::cpu::MBT_LEVEL

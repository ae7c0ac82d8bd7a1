#include "kernels/cpu/loops/gemm_few_rows.h"

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

constexpr int64_t kLanes = 32;      // partial sums of an element: enough to hide the latency of an addition
constexpr int64_t kRowsAtOnce = 4;  // of a: their partial sums stay in registers

/// out[r * n] = a row r . b for `rows` rows.
template <int64_t rows, class T>
void dot_rows(const float* a, const T* b, int64_t k, float* out, int64_t n) {
  float lanes[rows][kLanes] = {};
  int64_t p = 0;
  for (; p + kLanes <= k; p += kLanes) {
    for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
      for (int64_t j = 0; j < kLanes; ++j) lanes[r][j] += a[r * k + p + j] * load(b, p + j);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; p + j < k; ++j) lanes[r][j] += a[r * k + p + j] * load(b, p + j);
    for (int64_t width = kLanes / 2; width > 0; width /= 2)
      for (int64_t j = 0; j < width; ++j) lanes[r][j] += lanes[r][j + width];
    out[r * n] = lanes[r][0];
  }
}

template <class T>
void few_rows(int64_t m, const float* a, const T* b, int64_t n, int64_t k, float* sum) {
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < n; ++j) {
    const T* const weight = b + j * k;
    int64_t i = 0;
    for (; i + kRowsAtOnce <= m; i += kRowsAtOnce) dot_rows<kRowsAtOnce>(a + i * k, weight, k, sum + i * n + j, n);
    for (; i < m; ++i) dot_rows<1>(a + i * k, weight, k, sum + i * n + j, n);
  }
}

}  // namespace

void gemm_few_rows(int64_t m, const float* a, const ConstTensorView& b, float* sum) {
  with_act(b.dtype, [&]<class T>(T*) { few_rows<T>(m, a, b.as<T>(), b.rows(), b.cols(), sum); });
}

}  // namespace mbt::cpu::MBT_LEVEL

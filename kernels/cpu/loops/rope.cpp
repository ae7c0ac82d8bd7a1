#include "kernels/cpu/loops/rope.h"

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

template <class T>
void rotate_row(T* row, int64_t heads, int64_t width, const float* table, int64_t half, float sign) {
  for (int64_t h = 0; h < heads; ++h) {
    T* low = row + h * width;
    T* high = low + half;
#pragma omp simd
    for (int64_t i = 0; i < half; ++i) {
      const float cosine = table[i];
      const float sine = sign * table[half + i];
      const float a = load(low, i);
      const float b = load(high, i);
      store(low, i, a * cosine - b * sine);
      store(high, i, b * cosine + a * sine);
    }
  }
}

}  // namespace

void rope(const RopeArgs& a) {
  const int64_t rows = a.qkv.rows();
  const int64_t cols = a.qkv.cols();
  const int64_t rotated = a.cos_sin.cols();
  const int64_t width = cols / (a.num_heads + 2 * a.num_kv_heads);
  const float sign = a.inverse ? -1.0f : 1.0f;
  const int32_t* positions = a.positions.as<int32_t>();
  with_act(a.qkv.dtype, [&]<class T>(T*) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < rows; ++n) {
      const int64_t position = positions ? positions[n] : a.first_position + n % a.sequence_length;
      const float* table = a.cos_sin.as<float>() + position * rotated;
      rotate_row(a.qkv.as<T>() + n * cols, a.num_heads + a.num_kv_heads, width, table, rotated / 2, sign);
    }
  });
}

}  // namespace mbt::cpu::MBT_LEVEL

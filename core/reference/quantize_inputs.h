// Values that quantization meets, and what a spec is called.
#pragma once

#include <cmath>
#include <random>
#include <string>

#include "core/quant/quant_spec.h"
#include "core/reference/guarded_tensor.h"

namespace mbt::ref {

inline std::string describe(const QuantSpec& s) {
  return fmt::format("{} {}{}{}{}{}", name_of(s.scaling), name_of(s.format), s.is_2d ? " 2d" : "",
                     s.stochastic_rounding ? " stochastic" : "", s.hadamard_columnwise ? " hadamard" : "",
                     s.power_of_two_scale ? " pow2" : "");
}

/// Not inlined: GCC 12 would warn of an overflow that is none.
[[gnu::noinline]] inline GuardedTensor zeros(DType dtype, const Shape& shape) { return {dtype, shape}; }

/// Ordinary values of many sizes with zeros, subnormals and very large ones; kind 1: also NaN and, rarely, infinities; kind 2: zeros.
inline GuardedTensor values(DType dtype, int64_t rows, int64_t cols, int kind, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  GuardedTensor t = zeros(dtype, {rows, cols});
  const double largest = dtype == DType::f16 ? 60000 : 3e38, smallest = dtype == DType::f16 ? 6e-8 : 1e-39;
  t.fill([&](int64_t) {
    if (kind == 2) return 0.0;
    switch (random() % 64) {
      case 0: return 0.0;
      case 1: return -0.0;
      case 2: return smallest * static_cast<double>(random() % 16);
      case 3: return kind == 1 ? NAN : 1.0;
      case 4: return kind == 1 && random() % 32 == 0 ? -INFINITY : 2.0;
      case 5: return random() % 256 == 0 ? largest : -0.5;
      default: return normal(random) * std::exp2(static_cast<double>(random() % 24) - 16);
    }
  });
  return t;
}

}  // namespace mbt::ref

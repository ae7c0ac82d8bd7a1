// A quantized tensor between guards, all the specs that there are, and values that quantization meets.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/quant/quant_tensor.h"
#include "tests/support/fp8_formats.h"
#include "tests/support/guarded_tensor.h"

namespace mbt::test {

inline std::vector<QuantSpec> all_specs() {
  using enum QuantScaling;
  using enum QuantFormat;
  std::vector<QuantSpec> specs;
  for (QuantFormat f : fp8_formats()) {
    specs.push_back({.format = f, .scaling = delayed});
    specs.push_back({.format = f, .scaling = tensorwise});
    specs.push_back({.format = f, .scaling = tensorwise, .power_of_two_scale = true});
    for (QuantScaling s : {blockwise, mxfp8})
      for (bool is_2d : {false, true}) specs.push_back({.format = f, .scaling = s, .is_2d = is_2d});
  }
  for (bool stochastic : {false, true}) {
    specs.push_back({.format = e2m1, .scaling = nvfp4, .stochastic_rounding = stochastic});
    specs.push_back({.format = e2m1, .scaling = nvfp4, .is_2d = true, .stochastic_rounding = stochastic});
    specs.push_back({.format = e2m1, .scaling = nvfp4, .stochastic_rounding = stochastic, .hadamard_columnwise = true});
  }
  return specs;
}

inline std::string describe(const QuantSpec& s) {
  return fmt::format("{} {}{}{}{}{}", name_of(s.scaling), name_of(s.format), s.is_2d ? " 2d" : "",
                     s.stochastic_rounding ? " stochastic" : "", s.hadamard_columnwise ? " hadamard" : "",
                     s.power_of_two_scale ? " pow2" : "");
}

/// Bytes between guards, in memory that host and device reach.
class Bytes {
 public:
  explicit Bytes(int64_t n) : bytes_(static_cast<size_t>(n) + 2 * kGuard, kMark) {}
  void* data() { return bytes_.data() + kGuard; }
  bool operator==(const Bytes& o) const { return bytes_ == o.bytes_; }  // guards too
  bool guards_intact() const {
    for (size_t i = 0; i < kGuard; ++i)
      if (bytes_[i] != kMark || bytes_[bytes_.size() - 1 - i] != kMark) return false;
    return true;
  }
  uint8_t& operator[](int64_t i) { return bytes_[kGuard + static_cast<size_t>(i)]; }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr uint8_t kMark = 0xA5;
  std::vector<uint8_t, TestAllocator<uint8_t>> bytes_;
};

enum class Copies { rows, columns, both };

/// A quantized tensor and its memory.
struct Quantized {
  Bytes row_codes, row_scales, column_codes, column_scales, scalars{4 * 4};
  QuantTensorView view{};

  /// shift: of the row-wise codes, in bytes, away from their alignment.
  Quantized(const QuantSpec& s, int64_t rows, int64_t cols, Copies copies, bool transposed = false, int64_t shift = 0)
      : row_codes(quant_copy_shape(s, rows, cols, false).codes_bytes + shift),
        row_scales(quant_copy_shape(s, rows, cols, false).scale_bytes),
        column_codes(row_codes),
        column_scales(quant_copy_shape(s, rows, cols, true).scale_bytes) {
    auto* f = static_cast<float*>(scalars.data());  // scale, amax, global amax of either copy
    const float start[4] = {3.7F, 0.25F, -1, -1};
    std::memcpy(f, start, sizeof start);
    view = {.spec = s, .rows = rows, .cols = cols, .scale = f, .amax = f + 1};
    void* first = static_cast<uint8_t*>(row_codes.data()) + shift;
    if (copies != Copies::columns) view.rowwise = {.codes = first, .scale_inv = row_scales.data(), .global_amax = f + 2};
    if (copies == Copies::rows) return;
    const bool shares = s.columnwise_shares_codes() && copies == Copies::both && !transposed;
    const QuantCopy own{.codes = column_codes.data(), .scale_inv = column_scales.data(), .global_amax = f + 3, .is_transposed = transposed};
    view.columnwise = shares ? view.rowwise : own;
  }
  bool operator==(const Quantized& o) const {
    return row_codes == o.row_codes && row_scales == o.row_scales && column_codes == o.column_codes && column_scales == o.column_scales &&
           scalars == o.scalars;
  }
};

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

}  // namespace mbt::test

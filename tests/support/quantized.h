// A quantized tensor between guards, and all the specs that there are.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/quant/quant_tensor.h"
#include "core/reference/quantize_inputs.h"
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

}  // namespace mbt::test

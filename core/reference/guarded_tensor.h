// A host tensor beside references: any float dtype, element access in double, and guard bytes that show writes outside.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <vector>

#include "core/reference/test_memory.h"
#include "core/tensor/tensor_view.h"

namespace mbt::ref {

/// x rounded to nearest even in a format of `precision` significant bits whose normal numbers start at 2^min_exponent.
inline double round_to_format(double x, int precision, int min_exponent) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  const double ulp = std::ldexp(1.0, std::max(exponent - 1, min_exponent) - precision + 1);
  return std::nearbyint(x / ulp) * ulp;
}

inline double round_to(DType t, double x) {
  if (t == DType::f32) return static_cast<float>(x);
  if (t == DType::bf16) return round_to_format(x, 8, -126);
  if (t == DType::f16) return round_to_format(x, 11, -14);
  return x;
}

/// Relative spacing of a dtype: 2^-p.
inline double unit_of(DType t) { return t == DType::bf16 ? 0x1p-8 : t == DType::f16 ? 0x1p-11 : 0x1p-24; }

class GuardedTensor {
 public:
  GuardedTensor(DType dtype, Shape shape) : dtype_(dtype), shape_(shape), bytes_(static_cast<size_t>(view_size()) + 2 * kGuard, kMark) {
    std::memset(data(), 0, static_cast<size_t>(view_size()));
  }
  TensorView view() { return {data(), dtype_, shape_}; }
  operator TensorView() { return view(); }       // NOLINT
  operator ConstTensorView() { return view(); }  // NOLINT
  int64_t size() const { return shape_.size(); }
  DType dtype() const { return dtype_; }
  bool guards_intact() const {
    for (size_t i = 0; i < kGuard; ++i)
      if (bytes_[i] != kMark || bytes_[bytes_.size() - 1 - i] != kMark) return false;
    return true;
  }
  bool same_bits(const GuardedTensor& o) const { return bytes_ == o.bytes_; }
  /// Everything, guards too: what travels to a device and back. The tensor begins at byte kGuard.
  std::span<uint8_t> bytes() { return bytes_; }
  std::span<const uint8_t> bytes() const { return bytes_; }
  const Shape& shape() const { return shape_; }
  static constexpr size_t kGuard = 64;

  double at(int64_t i) const {
    if (dtype_ == DType::f32) return read<float>(i);
    if (dtype_ == DType::f64) return read<double>(i);
    const uint16_t bits = read<uint16_t>(i);
    if (dtype_ == DType::bf16) {
      const uint32_t wide = uint32_t{bits} << 16;
      float x;
      std::memcpy(&x, &wide, 4);
      return x;
    }
    const double sign = bits & 0x8000 ? -1 : 1;
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
  }
  std::vector<double> values() const {
    std::vector<double> all(static_cast<size_t>(size()));
    for (int64_t i = 0; i < size(); ++i) all[static_cast<size_t>(i)] = at(i);
    return all;
  }
  void set(int64_t i, double x) {
    const double y = round_to(dtype_, x);
    if (dtype_ == DType::f32) return write(i, static_cast<float>(y));
    if (dtype_ == DType::f64) return write(i, y);
    if (dtype_ == DType::bf16) {
      const float f = static_cast<float>(y);
      uint32_t bits;
      std::memcpy(&bits, &f, 4);
      return write(i, static_cast<uint16_t>(bits >> 16));
    }
    if (!std::isfinite(y) || std::fabs(y) > 65504.0)
      return write(i, static_cast<uint16_t>(std::isnan(y) ? 0x7e00 : y > 0 ? 0x7c00 : 0xfc00));
    int exponent = 0;
    const double fraction = std::frexp(std::fabs(y), &exponent);  // in [1/2, 1)
    const int biased = exponent + 14;
    const long bits = y == 0       ? 0
                      : biased > 0 ? (biased << 10) + std::lround(std::ldexp(fraction, 11)) - 1024
                                   : std::lround(std::ldexp(std::fabs(y), 24));
    write(i, static_cast<uint16_t>(bits | (std::signbit(y) ? 0x8000 : 0)));
  }
  void fill(const std::function<double(int64_t)>& f) {
    for (int64_t i = 0; i < size(); ++i) set(i, f(i));
  }
  void fill_normal(std::mt19937& random, double deviation = 1.0) {
    std::normal_distribution<double> normal(0.0, deviation);
    fill([&](int64_t) { return normal(random); });
  }

 private:
  static constexpr uint8_t kMark = 0xA5;
  int64_t view_size() const { return shape_.size() * size_of(dtype_); }
  uint8_t* data() { return bytes_.data() + kGuard; }
  template <class T>
  T read(int64_t i) const {
    T x;
    std::memcpy(&x, bytes_.data() + kGuard + static_cast<size_t>(i) * sizeof(T), sizeof(T));
    return x;
  }
  template <class T>
  void write(int64_t i, T x) {
    std::memcpy(data() + static_cast<size_t>(i) * sizeof(T), &x, sizeof(T));
  }

  DType dtype_;
  Shape shape_;
  std::vector<uint8_t, TestAllocator<uint8_t>> bytes_;
};

}  // namespace mbt::ref

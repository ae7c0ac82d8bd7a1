// Rotary position embedding in double.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "core/reference/guarded_tensor.h"

namespace mbt::ref {

struct RopeCase {
  int64_t rows, length, heads, kv_heads, width, rotated, first;
  int64_t cols() const { return (heads + 2 * kv_heads) * width; }
};

/// f32 [first + length, rotated]: row p holds cosines, then sines.
inline GuardedTensor rope_angles(const RopeCase& c) {
  GuardedTensor table(DType::f32, {c.first + c.length, c.rotated});
  const int64_t half = c.rotated / 2;
  table.fill([&](int64_t i) {
    const double angle = static_cast<double>(i / c.rotated) * std::pow(10000.0, -static_cast<double>(i % half) / static_cast<double>(half));
    return i % c.rotated < half ? std::cos(angle) : std::sin(angle);
  });
  return table;
}

/// The rotated tensor; position(n): of row n.
inline std::vector<double> rope_reference(const RopeCase& c, const GuardedTensor& qkv, const GuardedTensor& table, bool inverse,
                                          const std::function<int64_t(int64_t n)>& position) {
  const int64_t half = c.rotated / 2;
  std::vector<double> want = qkv.values();
  for (int64_t n = 0; n < c.rows; ++n)
    for (int64_t h = 0; h < c.heads + c.kv_heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        const int64_t low = n * c.cols() + h * c.width + i, row = position(n) * c.rotated;
        const double cosine = table.at(row + i), sine = table.at(row + half + i) * (inverse ? -1 : 1);
        want[static_cast<size_t>(low)] = qkv.at(low) * cosine - qkv.at(low + half) * sine;
        want[static_cast<size_t>(low + half)] = qkv.at(low + half) * cosine + qkv.at(low) * sine;
      }
  return want;
}

}  // namespace mbt::ref

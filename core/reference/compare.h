// Comparison of an op's output with a reference in double, by the table of tolerances.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/reference/guarded_tensor.h"
#include "core/reference/tolerance.h"

namespace mbt::ref {

/// The element that is furthest off in units of what is allowed there.
struct Worst {
  int64_t index = 0;
  double error = 0, allowed = 0;
  double ratio() const { return error == 0 ? 0 : allowed > 0 ? error / allowed : INFINITY; }
  bool is_within() const { return error <= allowed; }  // false for NaN
};

inline Worst worst_element(std::string_view op, const GuardedTensor& got, const std::vector<double>& want) {
  double largest = 0;
  for (double w : want) largest = std::max(largest, std::fabs(w));
  const double noise = fp32_units(op) * 0x1p-24 * largest + (got.dtype() == DType::f16 ? 0x1p-25 : 0.0);
  Worst worst{0, 0, noise};
  for (int64_t i = 0; i < got.size(); ++i) {
    const double w = want[static_cast<size_t>(i)];
    const Worst here{i, std::fabs(got.at(i) - w), unit_of(got.dtype()) * std::fabs(w) * 1.01 + noise};
    if (!(here.error < INFINITY)) return here;
    if (here.ratio() > worst.ratio()) worst = here;
  }
  return worst;
}

/// Empty when `got` is `want` within the tolerance of `op` and nothing was written around it; else a sentence about the worst element.
inline std::string mismatch(std::string_view op, const GuardedTensor& got, const std::vector<double>& want) {
  if (!got.guards_intact()) return fmt::format("{}: wrote outside its output", op);
  if (static_cast<size_t>(got.size()) != want.size()) return fmt::format("{}: {} elements, reference {}", op, got.size(), want.size());
  const Worst worst = worst_element(op, got, want);
  if (worst.is_within()) return {};
  return fmt::format("{}[{}] is {}, expected {}: {:g} times the tolerance", op, worst.index, got.at(worst.index),
                     want[static_cast<size_t>(worst.index)], worst.ratio());
}

}  // namespace mbt::ref

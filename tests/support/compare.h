// Comparison of an op's output with a reference in double, by the table of tolerances.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "tests/support/guarded_tensor.h"
#include "tests/support/tolerance.h"

namespace mbt::test {

/// Empty when `got` is `want` within the tolerance of `op` and nothing was written around it; else a sentence about the worst element.
inline std::string mismatch(std::string_view op, const GuardedTensor& got, const std::vector<double>& want) {
  if (!got.guards_intact()) return fmt::format("{}: wrote outside its output", op);
  if (static_cast<size_t>(got.size()) != want.size()) return fmt::format("{}: {} elements, reference {}", op, got.size(), want.size());
  double largest = 0;
  for (double w : want) largest = std::max(largest, std::fabs(w));
  const double noise = fp32_units(op) * 0x1p-24 * largest + (got.dtype() == DType::f16 ? 0x1p-25 : 0.0);
  double worst = 1;
  std::string report;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double w = want[static_cast<size_t>(i)];
    const double allowed = unit_of(got.dtype()) * std::fabs(w) * 1.01 + noise;
    const double error = std::fabs(got.at(i) - w);
    if (error <= allowed * worst) continue;
    worst = allowed > 0 ? error / allowed : INFINITY;
    report = fmt::format("{}[{}] is {}, expected {}: {:g} times the tolerance", op, i, got.at(i), w, worst);
    if (!(error < INFINITY)) break;
  }
  return report;
}

}  // namespace mbt::test

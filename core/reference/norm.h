// RMSNorm and LayerNorm in double.
#pragma once

#include <cmath>
#include <vector>

#include "core/ops/norm.h"

namespace mbt::ref {

/// One row and its gradients.
struct NormRow {
  double mean = 0;
  double rstd = 0;
  std::vector<double> x_hat;

  NormRow(NormKind kind, const std::vector<double>& x, double eps) {
    const auto n = static_cast<double>(x.size());
    if (kind == NormKind::layernorm)
      for (double v : x) mean += v / n;
    double square = 0;
    for (double v : x) square += (v - mean) * (v - mean) / n;
    rstd = 1 / std::sqrt(square + eps);
    for (double v : x) x_hat.push_back((v - mean) * rstd);
  }

  /// Gradient with respect to x, given g = d_y * weight.
  std::vector<double> d_x(NormKind kind, const std::vector<double>& g) const {
    const auto n = static_cast<double>(g.size());
    double sum = 0, dot = 0;
    for (size_t c = 0; c < g.size(); ++c) {
      if (kind == NormKind::layernorm) sum += g[c] / n;
      dot += g[c] * x_hat[c] / n;
    }
    std::vector<double> d;
    for (size_t c = 0; c < g.size(); ++c) d.push_back(rstd * (g[c] - sum - x_hat[c] * dot));
    return d;
  }
};

}  // namespace mbt::ref

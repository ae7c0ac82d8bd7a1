// Activations of the MLP and their slopes in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/ops/activation.h"
#include "core/reference/guarded_tensor.h"

namespace mbt::ref {

inline double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

inline double activation_value(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::swiglu:
    case ActivationKind::silu: return x / (1 + std::exp(-x));
    case ActivationKind::geglu:
    case ActivationKind::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ActivationKind::gelu_erf: return x * normal_cdf(x);
    case ActivationKind::relu: return std::max(x, 0.0);
    case ActivationKind::squared_relu: return x > 0 ? x * x : 0.0;
  }
  return NAN;
}

inline double activation_slope(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::swiglu:
    case ActivationKind::silu: {
      const double s = 1 / (1 + std::exp(-x));
      return s * (1 + x * (1 - s));
    }
    case ActivationKind::geglu:
    case ActivationKind::gelu_tanh: {
      const double t = std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
    }
    case ActivationKind::gelu_erf: return normal_cdf(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
    case ActivationKind::relu: return x > 0 ? 1 : 0;
    case ActivationKind::squared_relu: return x > 0 ? 2 * x : 0;
  }
  return NAN;
}

/// y and d_x of a matrix of `rows` rows.
struct ActivationReference {
  std::vector<double> y, d_x;

  ActivationReference(ActivationKind kind, int64_t rows, const GuardedTensor& x, const GuardedTensor& d_y)
      : y(static_cast<size_t>(d_y.size())), d_x(static_cast<size_t>(x.size())) {
    const int64_t cols = d_y.size() / rows, width = x.size() / rows;
    for (int64_t n = 0; n < rows; ++n)
      for (int64_t c = 0; c < cols; ++c) {
        const int64_t at = n * width + c;
        const double up = is_gated(kind) ? x.at(at + cols) : 1.0, d = d_y.at(n * cols + c), value = activation_value(kind, x.at(at));
        y[static_cast<size_t>(n * cols + c)] = value * up;
        d_x[static_cast<size_t>(at)] = d * up * activation_slope(kind, x.at(at));
        if (is_gated(kind)) d_x[static_cast<size_t>(at + cols)] = d * value;
      }
  }
};

}  // namespace mbt::ref

// Finite-difference gradients.
#pragma once

#include <functional>

#include "tests/support/compare.h"

namespace mbt::test {

/// A weighted sum of a tensor: the scalar loss whose gradient with respect to the tensor is `weights`.
inline double weighted_sum(const GuardedTensor& t, const GuardedTensor& weights) {
  double sum = 0;
  for (int64_t i = 0; i < t.size(); ++i) sum += t.at(i) * weights.at(i);
  return sum;
}

/// Compares `gradient` with the four-point difference (8 (f(+h) - f(-h)) - (f(+2h) - f(-2h))) / 12h of `loss` over every element of x
/// (over about `most` of them when there are more). Empty when they agree.
inline std::string gradient_mismatch(std::string_view name, GuardedTensor& x, const GuardedTensor& gradient,
                                     const std::function<double()>& loss, double h = 0x1p-6, int64_t most = 200) {
  double largest = 1e-3;
  for (double g : gradient.values()) largest = std::max(largest, std::fabs(g));
  const int64_t step = std::max<int64_t>(1, x.size() / most);
  for (int64_t i = 0; i < x.size(); i += step) {
    const double at = x.at(i);
    auto loss_at = [&](double moved) {
      x.set(i, moved);
      return loss();
    };
    const double slope = (8 * (loss_at(at + h) - loss_at(at - h)) - (loss_at(at + 2 * h) - loss_at(at - 2 * h))) / (12 * h);
    x.set(i, at);
    if (!(std::fabs(slope - gradient.at(i)) <= kGradientTolerance * largest)) {
      return fmt::format("{}[{}]: gradient {}, finite difference {}, largest {}", name, i, gradient.at(i), slope, largest);
    }
  }
  return "";
}

}  // namespace mbt::test

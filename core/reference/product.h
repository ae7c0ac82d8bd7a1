// The product of two matrices in double, and how far a result may be off.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/ops/gemm.h"
#include "core/reference/compare.h"

namespace mbt::ref {

/// Extents of D and of the sum.
struct ProductExtents {
  int64_t rows, cols, summed;
};
inline Shape product_a_shape(GemmRole role, const ProductExtents& e) {
  return role == GemmRole::wgrad ? Shape{e.summed, e.rows} : Shape{e.rows, e.summed};
}
inline Shape product_b_shape(GemmRole role, const ProductExtents& e) {
  return role == GemmRole::fprop ? Shape{e.cols, e.summed} : Shape{e.summed, e.cols};
}

/// One element of the product, and the sum of the magnitudes of its terms.
struct ProductElement {
  double value = 0, magnitude = 0;
};
inline ProductElement product_element(GemmRole role, const ProductExtents& e, int64_t i, int64_t j, const std::vector<double>& a,
                                      const std::vector<double>& b) {
  ProductElement r;
  for (int64_t p = 0; p < e.summed; ++p) {
    const double x = a[static_cast<size_t>(role == GemmRole::wgrad ? p * e.rows + i : i * e.summed + p)] *
                     b[static_cast<size_t>(role == GemmRole::fprop ? j * e.summed + p : p * e.cols + j)];
    r.value += x;
    r.magnitude += std::fabs(x);
  }
  return r;
}

/// The element of d that is furthest off. Allowed: `sum_error` of the magnitudes of what is added, and one rounding to d's dtype.
inline Worst worst_of_product(GemmRole role, const ProductExtents& e, const std::vector<double>& a, const std::vector<double>& b,
                              const GuardedTensor* bias, const GuardedTensor* before, const GuardedTensor& d, double sum_error) {
  Worst worst;
  for (int64_t i = 0; i < e.rows; ++i)
    for (int64_t j = 0; j < e.cols; ++j) {
      const ProductElement sum = product_element(role, e, i, j, a, b);
      const double more = (bias != nullptr ? bias->at(j) : 0.0) + (before != nullptr ? before->at(i * e.cols + j) : 0.0);
      const double want = sum.value + more;
      const Worst here{i * e.cols + j, std::fabs(d.at(i * e.cols + j) - want),
                       sum_error * (sum.magnitude + std::fabs(more)) + 1.01 * unit_of(d.dtype()) * std::fabs(want) + 0x1p-25};
      if (!(here.error < INFINITY)) return here;
      if (here.ratio() >= worst.ratio()) worst = here;
    }
  return worst;
}

}  // namespace mbt::ref

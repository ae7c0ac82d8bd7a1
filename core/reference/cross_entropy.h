// Softmax cross-entropy in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "core/reference/guarded_tensor.h"

namespace mbt::ref {

/// Loss and gradient of rows of `padded` logits, of which the first `vocab` count.
struct CrossEntropyReference {
  std::vector<double> loss, gradient;

  CrossEntropyReference(int64_t vocab, int64_t padded, const GuardedTensor& logits, std::span<const int32_t> targets,
                        const GuardedTensor& mask, double d_scale)
      : gradient(static_cast<size_t>(logits.size())) {
    for (int64_t n = 0; n * padded < logits.size(); ++n) {
      auto at = [&](int64_t v) { return logits.at(n * padded + v); };
      const int32_t target = targets[static_cast<size_t>(n)];
      double largest = -INFINITY, sum = 0;
      for (int64_t v = 0; v < vocab; ++v) largest = std::max(largest, at(v));
      for (int64_t v = 0; v < vocab; ++v) sum += std::exp(at(v) - largest);
      loss.push_back(mask.at(n) * (std::log(sum) + largest - at(target)));
      for (int64_t v = 0; v < vocab; ++v) {
        const double p = std::exp(at(v) - largest) / sum;
        gradient[static_cast<size_t>(n * padded + v)] = d_scale * mask.at(n) * (p - (v == target ? 1 : 0));
      }
    }
  }
};

}  // namespace mbt::ref

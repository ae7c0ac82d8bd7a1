#include "core/data/blend_order.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"

namespace mbt {
namespace {

constexpr double kSurplus = 0.005;

void check_count(size_t datasets) {
  MBT_CHECK(datasets > 0 && datasets <= std::numeric_limits<int16_t>::max(), "{} datasets in a blend", datasets);
}

double behind(double weight, int64_t samples, int64_t used) {
  return weight * std::max(static_cast<double>(samples), 1.0) - static_cast<double>(used);
}

}  // namespace

BlendOrder blend_by_weight(std::span<const double> weights, int64_t samples) {
  check_count(weights.size());
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> share(weights.begin(), weights.end());
  for (double& s : share) s /= sum;
  BlendOrder order;
  order.dataset.reserve(static_cast<size_t>(samples));
  order.sample.reserve(static_cast<size_t>(samples));
  std::vector<int64_t> used(weights.size());
  for (int64_t i = 0; i < samples; ++i) {
    size_t chosen = 0;
    double most = behind(share[0], i, used[0]);
    for (size_t d = 1; d < share.size(); ++d) {
      const double error = behind(share[d], i, used[d]);
      if (error > most) most = error, chosen = d;
    }
    order.dataset.push_back(static_cast<uint16_t>(chosen));
    order.sample.push_back(used[chosen]++);
  }
  return order;
}

BlendOrder blend_exhaustively(std::span<const int64_t> sizes) {
  check_count(sizes.size());
  const auto total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  BlendOrder order;
  order.dataset.reserve(static_cast<size_t>(total));
  order.sample.reserve(static_cast<size_t>(total));
  std::vector<int64_t> used(sizes.size());
  for (int64_t i = 0; i < total; ++i) {
    size_t chosen = sizes.size();
    double most = 0;
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (used[d] == sizes[d]) continue;
      const double error = behind(static_cast<double>(sizes[d]) / static_cast<double>(total), i, used[d]);
      if (chosen == sizes.size() || error > most) most = error, chosen = d;
    }
    order.dataset.push_back(static_cast<uint16_t>(chosen));
    order.sample.push_back(used[chosen]++);
  }
  return order;
}

int64_t blend_share(double weight, int64_t samples) { return static_cast<int64_t>(std::ceil(static_cast<double>(samples) * weight)); }

int64_t blend_share_with_surplus(double weight, int64_t samples) {
  return static_cast<int64_t>(std::ceil(static_cast<double>(blend_share(weight, samples)) * (1 + kSurplus)));
}

}  // namespace mbt

#include "core/model/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace mbt {
namespace {

/// The most probable token, after all logits have been checked.
int32_t best_token(std::span<const float> logits) {
  MBT_CHECK(!logits.empty(), "no logits");
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity()) {
      throw Error(fmt::format("the logit of token {} is {}", i, logits[i]));
    }
  }
  const auto best = std::max_element(logits.begin(), logits.end());
  if (std::isinf(*best)) throw Error("no logit is finite");
  return static_cast<int32_t>(best - logits.begin());
}

/// The tokens of top_k, the most probable first; all in order of their ids when nothing depends on the order.
std::vector<int32_t> candidates(std::span<const float> logits, const SamplingConfig& config) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const size_t kept = config.top_k > 0 ? std::min(ids.size(), static_cast<size_t>(config.top_k)) : ids.size();
  if (kept == ids.size() && config.top_p == 1.0) return ids;
  const auto before = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(kept), ids.end(), before);
  ids.resize(kept);
  return ids;
}

}  // namespace

void SamplingConfig::check() const {
  if (!(temperature >= 0) || std::isinf(temperature))
    throw InputError(fmt::format("temperature {}: expected a number from 0 on", temperature));
  if (top_k < 0) throw InputError(fmt::format("top_k {}: expected 0 (all tokens) or more", top_k));
  if (!(top_p > 0 && top_p <= 1)) throw InputError(fmt::format("top_p {}: expected a number above 0 and up to 1", top_p));
}

int32_t sample_token(std::span<const float> logits, const SamplingConfig& config, uint64_t seed, uint64_t stream, uint64_t index) {
  config.check();
  const int32_t best = best_token(logits);
  if (config.temperature == 0) return best;
  const std::vector<int32_t> ids = candidates(logits, config);
  const double largest = logits[static_cast<size_t>(best)];
  std::vector<double> cumulative(ids.size());
  double sum = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    sum += std::exp((static_cast<double>(logits[static_cast<size_t>(ids[i])]) - largest) / config.temperature);
    cumulative[i] = sum;
  }
  if (config.top_p < 1) {
    const auto last = std::lower_bound(cumulative.begin(), cumulative.end(), config.top_p * sum);
    cumulative.resize(static_cast<size_t>(last - cumulative.begin()) + 1);
    sum = cumulative.back();
  }
  const double u = philox_uniform(seed, stream, index) * sum;
  // Rounding can make u equal to the sum: then the last token that has a probability at all.
  const auto drawn =
      u < sum ? std::upper_bound(cumulative.begin(), cumulative.end(), u) : std::lower_bound(cumulative.begin(), cumulative.end(), sum);
  return ids[static_cast<size_t>(drawn - cumulative.begin())];
}

}  // namespace mbt

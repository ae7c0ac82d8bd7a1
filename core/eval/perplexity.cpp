#include "core/eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace mbt {

double PerplexityTotals::perplexity() const { return std::exp(nats_per_token()); }
double PerplexityTotals::bits_per_byte() const { return nats / std::numbers::ln2 / static_cast<double>(bytes); }

std::vector<ScoredRow> sliding_windows(std::span<const int32_t> tokens, int64_t window, int64_t stride) {
  MBT_CHECK(stride >= 1 && stride <= window, "stride {} of a window of {}", stride, window);
  std::vector<ScoredRow> rows;
  const auto size = static_cast<int64_t>(tokens.size());
  int64_t scored = 1;  // tokens in front of this one are done; the first has nothing before it
  for (int64_t begin = 0; scored < size; begin += stride) {
    const int64_t end = std::min(size, begin + window + 1);
    if (end <= scored) continue;
    rows.push_back({{tokens.begin() + begin, tokens.begin() + end}, scored - begin});
    scored = end;
  }
  return rows;
}

void PerplexityMeter::add(std::span<const int32_t> tokens, int64_t bytes) {
  ++totals_.documents;
  totals_.bytes += bytes;
  if (!tokens.empty()) ++totals_.unscored;
  for (ScoredRow& row : sliding_windows(tokens, scorer_.max_tokens() - 1, stride_)) {
    waiting_.push_back(std::move(row));
    if (static_cast<int64_t>(waiting_.size()) == scorer_.max_rows()) score_waiting();
  }
}

const PerplexityTotals& PerplexityMeter::finish() {
  if (!waiting_.empty()) score_waiting();
  return totals_;
}

void PerplexityMeter::score_waiting() {
  for (const std::vector<float>& nats : scorer_.score(waiting_)) {
    for (const float value : nats) totals_.nats += value;
    totals_.tokens += static_cast<int64_t>(nats.size());
  }
  waiting_.clear();
}

}  // namespace mbt

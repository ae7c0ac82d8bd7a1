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
  for (ScoredRow& row : sliding_windows(tokens, scorer_.max_tokens() - 1, stride_)) wait({std::move(row), {}});
}

void PerplexityMeter::add_part(std::span<const int32_t> tokens, std::span<const int32_t> in_loss, int64_t bytes) {
  MBT_CHECK(tokens.size() == in_loss.size(), "{} tokens, {} marks", tokens.size(), in_loss.size());
  ++totals_.documents;
  totals_.bytes += bytes;
  if (!tokens.empty() && in_loss[0] != 0) ++totals_.unscored;
  size_t scored = 1;  // windows score token after token
  for (ScoredRow& row : sliding_windows(tokens, scorer_.max_tokens() - 1, stride_)) {
    const size_t count = row.tokens.size() - static_cast<size_t>(row.first_scored);
    const auto begin = in_loss.begin() + static_cast<std::ptrdiff_t>(scored), end = begin + static_cast<std::ptrdiff_t>(count);
    scored += count;
    if (std::find(begin, end, 1) != end) wait({std::move(row), {begin, end}});
  }
}

void PerplexityMeter::wait(Waiting row) {
  waiting_.push_back(std::move(row));
  if (static_cast<int64_t>(waiting_.size()) == scorer_.max_rows()) score_waiting();
}

const PerplexityTotals& PerplexityMeter::finish() {
  if (!waiting_.empty()) score_waiting();
  return totals_;
}

void PerplexityMeter::score_waiting() {
  std::vector<ScoredRow> rows;
  for (Waiting& w : waiting_) rows.push_back(std::move(w.row));
  const std::vector<std::vector<float>> nats = scorer_.score(rows);
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t t = 0; t < nats[r].size(); ++t) {
      if (!waiting_[r].counts.empty() && waiting_[r].counts[t] == 0) continue;
      totals_.nats += nats[r][t];
      ++totals_.tokens;
    }
  waiting_.clear();
}

}  // namespace mbt

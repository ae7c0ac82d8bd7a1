// Perplexity of documents: every token is scored once, in windows that slide over the document.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/eval/scorer.h"

namespace mbt {

struct PerplexityTotals {
  double nats = 0;     ///< sum of -log p
  int64_t tokens = 0;  ///< scored
  int64_t bytes = 0;   ///< of the text that was scored
  int64_t documents = 0;
  int64_t unscored = 0;  ///< first tokens of documents that nothing comes before

  double nats_per_token() const { return nats / static_cast<double>(tokens); }
  double perplexity() const;
  /// Of the text's bytes: comparable between tokenizers.
  double bits_per_byte() const;
};

/// Windows of at most `window` scored tokens that begin every `stride` tokens; each scores what the one before has not. stride == window:
/// windows side by side, each without what is before it; smaller: more context for a proportionally longer time. 1 <= stride <= window.
std::vector<ScoredRow> sliding_windows(std::span<const int32_t> tokens, int64_t window, int64_t stride);

class PerplexityMeter {
 public:
  PerplexityMeter(Scorer& scorer, int64_t stride) : scorer_(scorer), stride_(stride) {}

  /// `tokens` of one document, with what the tokenizer puts before a text; `bytes` of its text from the second token on: the first has
  /// nothing before it, and is not scored.
  void add(std::span<const int32_t> tokens, int64_t bytes);
  /// Scores what is still waiting for a full batch.
  const PerplexityTotals& finish();
  const PerplexityTotals& totals() const { return totals_; }

 private:
  void score_waiting();

  Scorer& scorer_;
  int64_t stride_;
  std::vector<ScoredRow> waiting_;
  PerplexityTotals totals_;
};

}  // namespace mbt

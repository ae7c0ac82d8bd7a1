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
  int64_t unscored = 0;  ///< first tokens of documents, which have no context

  double nats_per_token() const { return nats / static_cast<double>(tokens); }
  double perplexity() const;
  /// Of the text's bytes: comparable between tokenizers.
  double bits_per_byte() const;
};

/// Returns windows with at most `window` target tokens, one every `stride` tokens. Each scores the tokens that the window before has not
/// scored. With stride == window, windows do not overlap and have no earlier context. A smaller stride gives more context and takes
/// proportionally longer. 1 <= stride <= window.
std::vector<ScoredRow> sliding_windows(std::span<const int32_t> tokens, int64_t window, int64_t stride);

class PerplexityMeter {
 public:
  PerplexityMeter(Scorer& scorer, int64_t stride) : scorer_(scorer), stride_(stride) {}

  /// Adds one document. `tokens` include what the tokenizer puts before a text. `bytes` counts its text from the second token on: the first
  /// token has no context and is not scored.
  void add(std::span<const int32_t> tokens, int64_t bytes);
  /// Adds one document of which only tokens with in_loss 1 count. `bytes` of their text.
  void add_part(std::span<const int32_t> tokens, std::span<const int32_t> in_loss, int64_t bytes);
  /// Scores what is still waiting for a full batch.
  const PerplexityTotals& finish();
  const PerplexityTotals& totals() const { return totals_; }

 private:
  /// A row, and which of its scored tokens count; empty: all.
  struct Waiting {
    ScoredRow row;
    std::vector<int32_t> counts;
  };
  void wait(Waiting row);
  void score_waiting();

  Scorer& scorer_;
  int64_t stride_;
  std::vector<Waiting> waiting_;
  PerplexityTotals totals_;
};

}  // namespace mbt

// How probable a model finds given tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/transformer.h"

namespace mbt {

/// Tokens in a row; those from `first_scored` >= 1 on are scored, each given all before it.
struct ScoredRow {
  std::vector<int32_t> tokens;
  int64_t first_scored = 1;
};

class Scorer {
 public:
  /// Scores up to `rows` rows of at most seq_length + 1 tokens at once. Rows are padded at the end. Causal attention does not see the
  /// padding, but with per-tensor scales it can change the last bits of results. `weights` must outlive it.
  Scorer(Backend& backend, const RunConfig& config, const PrecisionPolicy& policy, Weights& weights, int64_t rows, int64_t seq_length);

  /// For each row -log p of its tokens from first_scored on, nats. InputError: a token outside the model's vocabulary. Error: a row that is
  /// too long, or has nothing to score; a loss that is not finite.
  std::vector<std::vector<float>> score(std::span<const ScoredRow> rows);

  int64_t max_rows() const { return rows_; }
  /// Most tokens of a row.
  int64_t max_tokens() const { return seq_length_ + 1; }

 private:
  void score_batch(std::span<const ScoredRow> rows, std::vector<std::vector<float>>& nats);

  Backend& backend_;
  int64_t rows_, seq_length_, vocab_size_;
  uint64_t seed_;
  Transformer transformer_;
};

}  // namespace mbt

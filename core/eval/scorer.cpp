#include "core/eval/scorer.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace mbt {
namespace {

ModelConfig with_sequence(ModelConfig model, int64_t seq_length) {
  model.seq_length = seq_length;
  return model;
}

}  // namespace

Scorer::Scorer(Backend& backend, const RunConfig& config, const PrecisionPolicy& policy, Weights& weights, int64_t rows, int64_t seq_length)
    : backend_(backend),
      rows_(rows),
      seq_length_(seq_length),
      vocab_size_(config.model.vocab_size),
      seed_(static_cast<uint64_t>(config.rng.seed)),
      transformer_(backend, with_sequence(config.model, seq_length), policy, weights, rows, false) {
  MBT_CHECK(rows > 0 && seq_length > 0, "rows {}, seq_length {}", rows, seq_length);
}

std::vector<std::vector<float>> Scorer::score(std::span<const ScoredRow> rows) {
  std::vector<std::vector<float>> nats;
  nats.reserve(rows.size());
  for (size_t at = 0; at < rows.size(); at += static_cast<size_t>(rows_))
    score_batch(rows.subspan(at, std::min(static_cast<size_t>(rows_), rows.size() - at)), nats);
  return nats;
}

void Scorer::score_batch(std::span<const ScoredRow> rows, std::vector<std::vector<float>>& nats) {
  const auto size = static_cast<size_t>(rows_ * seq_length_);
  std::vector<int32_t> tokens(size, 0), targets(size, 0);
  std::vector<float> mask(size, 0.0F), losses(size);
  for (size_t r = 0; r < rows.size(); ++r) {
    const ScoredRow& row = rows[r];
    const auto length = static_cast<int64_t>(row.tokens.size());
    MBT_CHECK(length <= max_tokens() && row.first_scored >= 1 && row.first_scored < length,
              "a row of {} tokens, scored from {}, at most {}", length, row.first_scored, max_tokens());
    for (const int32_t token : row.tokens)
      if (token < 0 || token >= vocab_size_)
        throw InputError(fmt::format("token {} is outside the model's vocabulary of {}", token, vocab_size_));
    const size_t begin = r * static_cast<size_t>(seq_length_);
    std::copy(row.tokens.begin(), row.tokens.end() - 1, tokens.begin() + static_cast<std::ptrdiff_t>(begin));
    std::copy(row.tokens.begin() + 1, row.tokens.end(), targets.begin() + static_cast<std::ptrdiff_t>(begin));
    for (int64_t t = row.first_scored - 1; t < length - 1; ++t) mask[begin + static_cast<size_t>(t)] = 1.0F;
  }
  transformer_.forward({.is_training = false, .seed = seed_}, {tokens.data(), targets.data(), mask.data()});
  backend_.download(transformer_.token_losses(), losses.data());
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto begin = losses.begin() + static_cast<std::ptrdiff_t>(r) * seq_length_;
    nats.emplace_back(begin + rows[r].first_scored - 1, begin + static_cast<std::ptrdiff_t>(rows[r].tokens.size()) - 1);
    for (const float value : nats.back())
      if (!std::isfinite(value)) throw Error("the model gives a loss that is not finite: its weights may be damaged, or fp16 overflows");
  }
}

}  // namespace mbt

// The built-in data: an artificial language whose entropy rate is known exactly, so that a loss can be judged by itself.
//
// A text is a sequence of words. Word t is stem s(t), ending e(t) and a separator: " ", ", " or ".\n". Three independent choices make it:
//   stem       s(t) = (next[s(t-1)] + j) mod 32    j Zipf distributed: a random permutation `next` says which stem follows which
//   ending     e(t) = (e(t-2) + k) mod 8           k Zipf distributed: words agree with the word before the last, as in an inflected
//   language separator  with fixed probabilities
// Stems are random syllables (consonant, vowel, consonant); endings are a vowel, or a vowel and a consonant: a word's last vowel begins
// its ending, so spelling is unique. For each j and k the maps of stems and endings are bijections; the uniform distribution over states
// is therefore stationary, texts start in it, and
//   entropy rate = (H(j) + H(k) + H(separator)) / (mean length of a word with its separator)   nats per byte.
// The first words of a sample lack their context, so a model's loss on finite samples stays slightly above.
#pragma once

#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/split.h"

namespace mbt {

/// The language itself: the same for every run.
class SyntheticLanguage {
 public:
  SyntheticLanguage();

  /// Nats per byte.
  double entropy_rate() const { return entropy_rate_; }
  /// Nats per byte of a model that knows the words but not which follows which.
  double entropy_rate_without_context() const { return entropy_rate_without_context_; }
  /// The first `length` bytes of text number `index`: a pure function of (seed, index).
  std::string text(uint64_t seed, uint64_t index, size_t length) const;

 private:
  std::vector<std::string> stems_, endings_;
  std::vector<size_t> next_stem_;
  std::vector<double> stem_steps_, ending_steps_;  ///< cumulative probabilities of j and k
  double entropy_rate_ = 0, entropy_rate_without_context_ = 0;
};

/// Every sample is a text of its own; they are made when asked for.
class SyntheticDataset final : public Dataset {
 public:
  SyntheticDataset(const DatasetConfig& config, int64_t seq_length, int64_t seed);

  int64_t vocab_size() const override { return 256; }
  int64_t seq_length() const override { return seq_length_; }
  int64_t num_samples(Split split) const override { return samples_[static_cast<size_t>(split)].size; }
  std::optional<double> entropy_rate() const override { return language_.entropy_rate(); }
  std::string describe() const override;
  void sample(Split split, int64_t index, Sample& out) const override;

 private:
  SyntheticLanguage language_;
  int64_t seq_length_;
  uint64_t seed_;
  std::array<SplitRange, 3> samples_;
};

}  // namespace mbt

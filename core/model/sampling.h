// The next token from a model's logits: a pure function of logits, settings and a random number's address.
#pragma once

#include <cstdint>
#include <span>

namespace mbt {

struct SamplingConfig {
  double temperature = 1.0;  ///< logits are divided by it; 0: always the most probable token
  int64_t top_k = 0;         ///< only the k most probable tokens; 0: all
  double top_p = 1.0;        ///< then only the fewest of the most probable whose probabilities sum to at least p; 1: all

  /// InputError names the setting that is out of range.
  void check() const;
};

/// Draws with the Philox number `index` of (seed, stream). Of equally probable tokens the lower id comes first. Logits of -inf exclude a
/// token. Error when a logit is NaN or +inf, or none is finite.
int32_t sample_token(std::span<const float> logits, const SamplingConfig& config, uint64_t seed, uint64_t stream, uint64_t index);

}  // namespace mbt

#include "core/data/loader.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace mbt {

int64_t permuted(uint64_t seed, uint64_t epoch, int64_t size, int64_t position) {
  MBT_CHECK(position >= 0 && position < size, "position {} of {}", position, size);
  int half_bits = 1;  // a Feistel network permutes [0, 4^half_bits), the smallest such range that holds `size`
  while (half_bits < 31 && int64_t{1} << 2 * half_bits < size) ++half_bits;
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  constexpr uint64_t kRounds = 6;
  uint64_t value = static_cast<uint64_t>(position);
  do {  // walking along the cycle until it comes back into [0, size) permutes [0, size); fewer than 4 steps on average
    uint64_t left = value >> half_bits, right = value & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (philox(seed, epoch, round << 32 | right)[0] & mask);
      left = right;
      right = mixed;
    }
    value = left << half_bits | right;
  } while (value >= static_cast<uint64_t>(size));
  return static_cast<int64_t>(value);
}

int64_t sample_at(const Dataset& dataset, Split split, int64_t seed, int64_t n) {
  const int64_t samples = dataset.num_samples(split), epoch = n / samples, position = n % samples;
  if (dataset.order(split) == SampleOrder::own) return position;
  return permuted(static_cast<uint64_t>(seed), static_cast<uint64_t>(epoch), samples, position);
}

BatchLoader::BatchLoader(const Dataset& dataset, Split split, int64_t micro_batch_size, int64_t seed)
    : dataset_(&dataset), split_(split), micro_batch_size_(micro_batch_size), seed_(seed), samples_(dataset.num_samples(split)) {
  MBT_CHECK(micro_batch_size > 0, "micro batch {}", micro_batch_size);
  if (samples_ == 0) throw InputError(fmt::format("dataset.split leaves no data for {}: {}", name_of(split), dataset.describe()));
}

Batch BatchLoader::get(int64_t first_sample, std::vector<std::vector<SamplePiece>>* pieces) const {
  const DocumentRules& rules = dataset_->document_rules();
  const int64_t seq = dataset_->seq_length();
  const size_t tokens = static_cast<size_t>(micro_batch_size_ * seq);
  Batch batch{.tokens = std::vector<int32_t>(tokens),
              .targets = std::vector<int32_t>(tokens),
              .loss_mask = std::vector<float>(tokens),
              .document_start = std::vector<int32_t>(rules.reset_attention_mask ? tokens : 0),
              .positions = std::vector<int32_t>(rules.reset_position_ids ? tokens : 0),
              .batch = micro_batch_size_,
              .seq = seq};
  if (pieces) pieces->resize(static_cast<size_t>(micro_batch_size_));
  Sample row(seq);
  for (int64_t b = 0; b < micro_batch_size_; ++b) {
    if (pieces) row.pieces = &(*pieces)[static_cast<size_t>(b)];
    row.reset();
    dataset_->sample(split_, sample_at(*dataset_, split_, seed_, first_sample + b), row);
    mask_ends(rules, row);
    const int64_t at = b * seq;
    std::copy(row.tokens.begin(), row.tokens.end() - 1, batch.tokens.begin() + at);
    std::copy(row.tokens.begin() + 1, row.tokens.end(), batch.targets.begin() + at);
    std::copy(row.loss_mask.begin(), row.loss_mask.end(), batch.loss_mask.begin() + at);
    if (!rules.reset_attention_mask && !rules.reset_position_ids) continue;
    const std::vector<int32_t> starts = document_starts(rules, row);
    if (rules.reset_attention_mask) std::copy(starts.begin(), starts.end(), batch.document_start.begin() + at);
    if (!rules.reset_position_ids) continue;
    for (int64_t t = 0; t < seq; ++t)
      batch.positions[static_cast<size_t>(at + t)] = static_cast<int32_t>(t) - starts[static_cast<size_t>(t)];
  }
  return batch;
}

}  // namespace mbt

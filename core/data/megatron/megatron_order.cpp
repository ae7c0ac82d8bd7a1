#include "core/data/megatron/megatron_order.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"

namespace mbt {
namespace {

constexpr double kFinalEpochThreshold = 0.80;  // below this share of an epoch the last one is kept apart

/// A multiplication that says nothing wrong: saturates.
int64_t times(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}

void check_size(const EpochPlan& plan, int64_t sequences, const std::string& what) {
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max() - 2;
  const int64_t documents = times(plan.epochs, sequences);
  const int64_t memory = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) / 2 * sysconf(_SC_PAGESIZE);
  const double bytes = 4.0 * static_cast<double>(documents) + 16.0 * static_cast<double>(plan.samples);
  if (documents <= kMost && plan.samples <= kMost && bytes <= static_cast<double>(memory)) return;
  throw InputError(
      fmt::format("{}: {} samples in {} epochs of {} sequences take an index of {:g} GiB, expected at most {:g} GiB (half of this "
                  "machine's memory) and 2^32 entries; train for fewer samples",
                  what, plan.samples, plan.epochs, sequences, bytes * 0x1p-30, static_cast<double>(memory) * 0x1p-30));
}

std::vector<int32_t> document_index(const EpochPlan& plan, SplitRange sequences, std::mt19937& random) {
  const auto per_epoch = static_cast<size_t>(sequences.size);
  std::vector<int32_t> index(per_epoch * static_cast<size_t>(plan.epochs));
  for (size_t i = 0; i < index.size(); i += per_epoch) {
    std::iota(index.begin() + static_cast<int64_t>(i), index.begin() + static_cast<int64_t>(i + per_epoch),
              static_cast<int32_t>(sequences.begin));
  }
  const std::span<int32_t> all(index);
  const size_t together = plan.separates_final_epoch ? index.size() - per_epoch : index.size();
  numpy_shuffle(all.first(together), random);
  if (together < index.size()) numpy_shuffle(all.subspan(together), random);
  return index;
}

void cut_samples(MegatronIndex& index, int64_t samples, const std::function<int32_t(int64_t)>& length, int64_t seq_length) {
  index.sample_document.reserve(static_cast<size_t>(samples) + 1);
  index.sample_offset.reserve(static_cast<size_t>(samples) + 1);
  size_t document = 0;
  int64_t offset = 0;
  const auto record = [&] {
    index.sample_document.push_back(static_cast<int64_t>(document));
    index.sample_offset.push_back(static_cast<int32_t>(offset));
  };
  record();
  for (int64_t s = 0; s < samples; ++s) {
    int64_t missing = seq_length + 1;
    for (;;) {
      MBT_CHECK(document < index.document_index.size(), "sample {} of {} has no tokens left", s, samples);
      const int64_t left = length(index.document_index[document]) - offset;
      if (left >= missing) break;
      missing -= left;
      ++document;
      offset = 0;
    }
    offset += missing - 1;  // the last token of this sample is the first of the next
    record();
  }
}

}  // namespace

std::array<SplitRange, 3> megatron_split_ranges(const std::array<double, 3>& weights, int64_t sequences) {
  const double sum = weights[0] + weights[1] + weights[2];
  std::array<SplitRange, 3> ranges;
  double cumulative = 0;
  int64_t begin = 0;
  for (size_t i = 0; i < 3; ++i) {
    cumulative += weights[i] / sum;
    const int64_t end = std::min(sequences, static_cast<int64_t>(std::nearbyint(cumulative * static_cast<double>(sequences))));
    ranges[i] = {begin, end - begin};
    begin = end;
  }
  return ranges;
}

EpochPlan plan_epochs(int64_t tokens_per_epoch, int64_t sequences, int64_t seq_length, std::optional<int64_t> samples_wanted,
                      const std::string& what) {
  MBT_CHECK(tokens_per_epoch > 0 && seq_length > 0, "{} tokens, samples of {}", tokens_per_epoch, seq_length);
  EpochPlan plan;
  if (samples_wanted) {
    const int64_t needed = std::min(times(*samples_wanted, seq_length), std::numeric_limits<int64_t>::max() - 1) + 1;
    plan.epochs = std::max<int64_t>(1, needed / tokens_per_epoch + (needed % tokens_per_epoch != 0));
  }
  const auto samples_in = [&](int64_t epochs) { return std::max<int64_t>(0, (times(epochs, tokens_per_epoch) - 1) / seq_length); };
  plan.samples = samples_in(plan.epochs);
  check_size(plan, sequences, what);
  if (plan.epochs > 1) {
    const int64_t before = samples_in(plan.epochs - 1), of_final = *samples_wanted - before;
    plan.separates_final_epoch = of_final < static_cast<int64_t>(kFinalEpochThreshold * static_cast<double>(samples_in(1)));
    plan.samples_before_final = before;
  }
  return plan;
}

MegatronIndex build_megatron_index(const EpochPlan& plan, SplitRange sequences, const std::function<int32_t(int64_t)>& length,
                                   int64_t seq_length, int64_t seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  MegatronIndex index;
  index.document_index = document_index(plan, sequences, random);
  cut_samples(index, plan.samples, length, seq_length);
  index.shuffle_index.resize(static_cast<size_t>(plan.samples));
  std::iota(index.shuffle_index.begin(), index.shuffle_index.end(), uint32_t{0});
  const std::span<uint32_t> all(index.shuffle_index);
  const auto together = static_cast<size_t>(plan.separates_final_epoch ? plan.samples_before_final : plan.samples);
  numpy_shuffle(all.first(together), random);
  if (together < all.size()) numpy_shuffle(all.subspan(together), random);
  return index;
}

SamplesRead first_samples_read(MegatronIndex index, int64_t count) {
  const size_t samples = index.shuffle_index.size(), wanted = static_cast<size_t>(count);
  MBT_CHECK(count >= 0 && wanted <= samples, "{} of {} samples", count, samples);
  std::vector<bool> is_read(samples);
  for (size_t i = 0; i < wanted; ++i) is_read[index.shuffle_index[i]] = true;
  SamplesRead read;
  size_t kept = 0;  // of document_index, which is closed up in place; as sample_document is made to speak of the new places
  int64_t last = -1;
  for (size_t s = 0; s < samples; ++s) {
    if (!is_read[s]) continue;
    const int64_t begin = index.sample_document[s], end = index.sample_document[s + 1];
    for (int64_t d = std::max(begin, last + 1); d <= end; ++d) index.document_index[kept++] = index.document_index[static_cast<size_t>(d)];
    last = end;
    index.sample_document[s] = static_cast<int64_t>(kept) - 1 - (end - begin);
  }
  index.document_index.resize(kept);
  index.document_index.shrink_to_fit();
  read.sequences = std::move(index.document_index);
  read.sample_sequence.reserve(wanted);
  read.sample_offset.reserve(wanted);
  for (size_t i = 0; i < wanted; ++i) {
    const uint32_t s = index.shuffle_index[i];
    read.sample_sequence.push_back(static_cast<uint32_t>(index.sample_document[s]));
    read.sample_offset.push_back(index.sample_offset[s]);
  }
  return read;
}

}  // namespace mbt

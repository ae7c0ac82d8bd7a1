// The order in which Megatron samples indexed data, reproduced exactly: a run moved from Megatron reads the same samples.
//
// Sequences of a split are repeated for as many epochs as the wanted samples take and shuffled together; samples of seq_length + 1 tokens
// are cut from them one after another (two neighbors share a token, the target of one and the input of the next), and shuffled in turn.
// All of it is a function of lengths, seq_length, the number of samples and the seed.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/data/split.h"

namespace mbt {

/// Sequences of each split: boundaries are the cumulative weights times the number, rounded half to even.
std::array<SplitRange, 3> megatron_split_ranges(const std::array<double, 3>& weights, int64_t sequences);

/// numpy.random.RandomState(seed).shuffle, for fewer than 2^32 elements.
template <class T>
void numpy_shuffle(std::span<T> values, std::mt19937& random) {
  for (size_t i = values.size(); i-- > 1;) {
    uint32_t mask = static_cast<uint32_t>(i);
    for (uint32_t shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
    uint32_t j = 0;
    do j = static_cast<uint32_t>(random()) & mask;
    while (j > i);
    std::swap(values[i], values[j]);
  }
}

/// How many epochs of a split's sequences are read, and how they are shuffled.
struct EpochPlan {
  int64_t epochs = 1;
  int64_t samples = 0;                 ///< of all epochs
  bool separates_final_epoch = false;  ///< the last epoch is only partly read and is shuffled separately
  int64_t samples_before_final = 0;    ///< with separates_final_epoch only
};
/// samples_wanted: nullopt is one epoch. tokens_per_epoch > 0. InputError (which names `what`): so many samples or sequences that the index
/// does not fit into half of the machine's memory, or is beyond 32 bits.
EpochPlan plan_epochs(int64_t tokens_per_epoch, int64_t sequences, int64_t seq_length, std::optional<int64_t> samples_wanted,
                      const std::string& what);

struct MegatronIndex {
  std::vector<int32_t> document_index;   ///< sequences in the order they are read
  std::vector<int64_t> sample_document;  ///< [samples + 1], where in document_index a sample begins
  std::vector<int32_t> sample_offset;    ///< [samples + 1], at which token of that sequence
  std::vector<uint32_t> shuffle_index;   ///< [samples], which sample is read when
};
/// The part of the index that a run needs for its first samples: 8 bytes per sample, and 4 per read of a sequence.
struct SamplesRead {
  std::vector<int32_t> sequences;         ///< document_index without what no sample touches
  std::vector<uint32_t> sample_sequence;  ///< [count], where in `sequences` the sample that is read at that time begins
  std::vector<int32_t> sample_offset;     ///< [count], at which token of that sequence
};
/// Takes the first `count` samples out of `index`, which must not be used afterwards. 0 <= count <= its samples.
SamplesRead first_samples_read(MegatronIndex index, int64_t count);

/// sequences: those of the split. length(s): tokens of sequence s; they add up to tokens_per_epoch of the plan.
MegatronIndex build_megatron_index(const EpochPlan& plan, SplitRange sequences, const std::function<int32_t(int64_t)>& length,
                                   int64_t seq_length, int64_t seed);

}  // namespace mbt

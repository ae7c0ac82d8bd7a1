// Micro-batches in an order that is a pure function of (seed, sample number). A run that resumes at sample n reads the same data as an
// uninterrupted run, on any number of ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "core/data/dataset.h"

namespace mbt {

/// Row-major [batch, seq]. target[b,t] is the token after token[b,t]; positions with loss_mask 0 do not count in the loss.
struct Batch {
  std::vector<int32_t> tokens, targets;
  std::vector<float> loss_mask;
  /// The place in its row, 0 to seq - 1, of the first token of each token's document: document_start[b,t] is t, or document_start[b,t-1].
  /// A token attends to its document alone, back to there. Empty: a row is one document.
  std::vector<int32_t> document_start = {};
  /// Each token's position for the position embedding, in [0, model.seq_length). Empty: 0 to seq - 1 in every row.
  std::vector<int32_t> positions = {};
  int64_t batch = 0, seq = 0;
};

/// The place of `position` in a random permutation of [0, size) that (seed, epoch) chooses. O(1) in time and memory.
int64_t permuted(uint64_t seed, uint64_t epoch, int64_t size, int64_t position);

/// The sample of the split that is read as number `n` of the endless sequence of epochs; each epoch holds every sample once.
int64_t sample_at(const Dataset& dataset, Split split, int64_t seed, int64_t n);

class BatchLoader {
 public:
  /// InputError when the split has no samples. `dataset` outlives the loader.
  BatchLoader(const Dataset& dataset, Split split, int64_t micro_batch_size, int64_t seed);

  /// Samples [first_sample, first_sample + micro_batch_size) of the endless sequence of epochs. pieces: for each row, where its tokens come
  /// from.
  Batch get(int64_t first_sample, std::vector<std::vector<SamplePiece>>* pieces = nullptr) const;
  int64_t samples_per_epoch() const { return samples_; }

 private:
  const Dataset* dataset_;
  Split split_;
  int64_t micro_batch_size_, seed_, samples_;
};

}  // namespace mbt

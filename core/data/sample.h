// One sample: the tokens of a row of a batch, and what goes with them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace mbt {

/// Where tokens of a sample come from, to inspect a batch.
struct SamplePiece {
  std::string source;  ///< a file, or what else it is
  std::string unit;    ///< what `number` counts: "sequence", "sample", ...
  int64_t number = 0;
  int64_t offset = 0;    ///< the first token, counted in the unit
  int64_t position = 0;  ///< where in the sample it stands
  int64_t tokens = 0;
};

struct Sample {
  explicit Sample(int64_t seq_length) : tokens(static_cast<size_t>(seq_length) + 1), loss_mask(static_cast<size_t>(seq_length)) { reset(); }
  /// Resets the sample to the state that Dataset::sample expects: every target in the loss, no documents.
  void reset() {
    std::fill(loss_mask.begin(), loss_mask.end(), 1.0F);
    document_start.clear();
    if (pieces) pieces->clear();
  }
  int64_t seq_length() const { return static_cast<int64_t>(loss_mask.size()); }
  void add_piece(SamplePiece piece) {
    if (pieces) pieces->push_back(std::move(piece));
  }

  std::vector<int32_t> tokens;   ///< [seq_length + 1]: inputs are all but the last, targets all but the first
  std::vector<float> loss_mask;  ///< [seq_length], of the targets: 0 does not count in the loss
  std::vector<int32_t>
      document_start;  ///< [seq_length] as Batch::document_start where the dataset knows it; empty: found by end-of-document tokens
  std::vector<SamplePiece>* pieces = nullptr;  ///< filled when somebody wants to know
};

}  // namespace mbt

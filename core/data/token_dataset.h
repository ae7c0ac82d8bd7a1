// Token files of llm.c, llmq and nanoGPT as samples: windows of seq_length tokens, cut from each file by itself, in the order of the files.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/split.h"
#include "core/data/token_file.h"

namespace mbt {

class TokenDataset final : public Dataset {
 public:
  /// files: in the order given. InputError: as TokenFile; a split with a weight that is left without a sample.
  TokenDataset(const std::vector<std::string>& files, int64_t seq_length, const std::array<double, 3>& split, int64_t vocab_size,
               TokenLayout layout = TokenLayout::with_header);

  int64_t vocab_size() const override { return vocab_size_; }
  int64_t seq_length() const override { return seq_length_; }
  int64_t num_samples(Split split) const override { return ranges_[static_cast<size_t>(split)].size; }
  std::string describe() const override;
  std::string fingerprint() const override;
  void sample(Split split, int64_t index, Sample& out) const override;

 private:
  int64_t seq_length_, vocab_size_, tokens_ = 0;
  std::vector<TokenFile> files_;
  std::vector<int64_t> first_sample_;  ///< of each file, and the number of all
  std::array<SplitRange, 3> ranges_;
};

}  // namespace mbt

// Supervised fine-tuning: examples of JSON Lines, packed into rows, each attending to itself alone, with loss on answers only
// (chat_template.h).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data/cache/tokenized_cache.h"
#include "core/data/dataset.h"
#include "core/data/megatron/indexed_reader.h"
#include "core/data/sft/packing.h"
#include "core/data/split.h"

namespace mbt {

struct SftOptions {
  int64_t seq_length = 0, vocab_size = 0, max_document_bytes = 0;
  std::array<double, 3> split{1, 0, 0};  ///< weights over examples, in the order of the files
  ChatFormat chat_template = ChatFormat::chatml;
  LongExamples long_examples = LongExamples::truncate;
  PackingOrder packing = PackingOrder::first_fit;
  std::optional<int32_t> end_of_text = {};  ///< also what rows are filled up with
  CacheFolder cache = {};
};

/// Examples are made into tokens once (tokenized_cache.h), packed when the dataset is made (a few bytes an example in memory).
class SftDataset final : public Dataset {
 public:
  /// InputError names file and line: no JSON, another shape, no answer, a line that is too long; a template whose tokens the tokenizer
  /// lacks; a split with a weight that is left without a row.
  SftDataset(const std::vector<std::string>& files, const Tokenizer& tokenizer, const SftOptions& options);

  int64_t vocab_size() const override { return options_.vocab_size; }
  int64_t seq_length() const override { return options_.seq_length; }
  int64_t num_samples(Split split) const override { return splits_[static_cast<size_t>(split)].packing.rows(); }
  std::string describe() const override;
  std::string fingerprint() const override { return tokens_->fingerprint() + masks_->fingerprint(); }
  void sample(Split split, int64_t index, Sample& out) const override;

 private:
  struct Rows {
    SplitRange examples;
    Packing packing;  ///< items count from examples.begin
    int64_t tokens = 0;
  };
  void pack(Split split);
  int32_t used_length(int64_t example);

  SftOptions options_;
  std::string source_;
  int32_t filler_ = 0;
  std::unique_ptr<IndexedReader> tokens_, masks_;
  std::array<Rows, 3> splits_;
  int64_t truncated_ = 0, dropped_ = 0;
};

}  // namespace mbt

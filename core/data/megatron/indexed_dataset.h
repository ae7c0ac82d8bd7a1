// Megatron indexed data as samples, in Megatron's order (megatron_order.h).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "core/data/cache/index_cache.h"
#include "core/data/dataset.h"
#include "core/data/megatron/indexed_reader.h"
#include "core/data/split.h"

namespace mbt {

/// How many samples of each split a run reads: it can ask for no more. nullopt: as many as one epoch has.
using SampleCounts = std::array<std::optional<int64_t>, 3>;

struct IndexedOptions {
  int64_t seq_length = 0;
  std::array<double, 3> split{1, 0, 0};  ///< weights over sequences
  SampleCounts samples{};
  int64_t seed = 0;
  int64_t vocab_size = 0;       ///< tokens not below it are rejected when they are read
  std::string path_to_cache{};  ///< empty: beside the data
  std::string made_from{};      ///< the user's text that cached tokens come from, as inspect and messages name it; empty: the prefix
  int64_t empty_texts = 0;      ///< of that text, left out: for describe()
  bool makes_order = true;      ///< false: sizes alone, no sample can be read
};

class IndexedDataset final : public Dataset {
 public:
  /// InputError: as IndexedReader; a split with a weight and too few tokens for a sample; a seed from 2^32 on; an index that does not fit.
  IndexedDataset(const std::string& prefix, const IndexedOptions& options);

  int64_t vocab_size() const override { return options_.vocab_size; }
  int64_t seq_length() const override { return options_.seq_length; }
  int64_t num_samples(Split split) const override { return splits_[static_cast<size_t>(split)].samples; }
  SampleOrder order(Split) const override { return SampleOrder::own; }
  std::string describe() const override;
  std::string fingerprint() const override { return reader_.fingerprint(); }
  void sample(Split split, int64_t index, Sample& out) const override;

  const IndexedReader& reader() const { return reader_; }

 private:
  struct Samples {
    SplitRange sequences;
    int64_t tokens = 0, epochs = 0;
    int64_t available = 0;  ///< samples that the epochs have
    int64_t samples = 0;    ///< samples that the run reads; the index covers only these
    std::shared_ptr<const IndexArrays> index;
  };
  void build(Split split, const std::string& lengths);
  const std::string& name() const { return options_.made_from.empty() ? reader_.paths().prefix : options_.made_from; }
  [[noreturn]] void refuse_index(Split split, int64_t index) const;

  IndexedReader reader_;
  IndexedOptions options_;
  std::array<Samples, 3> splits_;
};

}  // namespace mbt

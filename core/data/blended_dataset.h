// Several datasets as one: blends with weights, and another blend for each split.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data/cache/index_cache.h"
#include "core/data/dataset.h"
#include "core/data/megatron/indexed_dataset.h"

namespace mbt {

struct BlendPart {
  std::unique_ptr<Dataset> data;
  std::string name;  ///< for messages: its path
};

struct BlendOptions {
  std::vector<double> weights = {};  ///< relative, one a part; empty: in proportion to the parts' samples
  SampleCounts samples{};            ///< with weights: exactly what a split reads; without: the maximum; nullopt: every sample once
  int64_t seed = 0;                  ///< for parts whose SampleOrder is by_seed
  CacheFolder cache{};
  bool makes_order = true;  ///< false: sizes alone, no sample can be read
};

/// When more samples of a part are needed than it has, it starts again in the order of its next epoch.
class BlendedDataset final : public Dataset {
 public:
  /// InputError: no part has samples of a split; parts of different seq_length.
  BlendedDataset(std::vector<BlendPart> parts, const BlendOptions& options);

  int64_t vocab_size() const override;
  int64_t seq_length() const override { return parts_.front().data->seq_length(); }
  int64_t num_samples(Split split) const override { return splits_[static_cast<size_t>(split)].samples; }
  SampleOrder order(Split) const override { return SampleOrder::own; }
  std::string describe() const override;
  std::string fingerprint() const override;
  void sample(Split split, int64_t index, Sample& out) const override;

 private:
  struct Order {
    int64_t samples = 0;
    std::shared_ptr<const IndexArrays> index;  ///< BlendOrder's arrays
  };
  void build(Split split);

  std::vector<BlendPart> parts_;
  BlendOptions options_;
  std::array<Order, 3> splits_;
};

/// Each split from a dataset of its own; nullptr: the split is empty.
class PerSplitDataset final : public Dataset {
 public:
  explicit PerSplitDataset(std::array<std::unique_ptr<Dataset>, 3> of_splits) : of_splits_(std::move(of_splits)) {}

  int64_t vocab_size() const override;
  int64_t seq_length() const override;
  int64_t num_samples(Split split) const override { return of(split) ? of(split)->num_samples(split) : 0; }
  SampleOrder order(Split split) const override { return of(split) ? of(split)->order(split) : SampleOrder::own; }
  std::string describe() const override;
  std::string fingerprint() const override;
  void sample(Split split, int64_t index, Sample& out) const override { of(split)->sample(split, index, out); }

 private:
  const Dataset* of(Split split) const { return of_splits_[static_cast<size_t>(split)].get(); }

  std::array<std::unique_ptr<Dataset>, 3> of_splits_;
};

}  // namespace mbt

// The dataset of a section "dataset" alone, the rest of the run being small.
#pragma once

#include <memory>

#include "core/data/make_dataset.h"

inline mbt::RunConfig run_config_of(const mbt::DatasetConfig& dataset, int64_t seq_length, int64_t seed) {
  mbt::RunConfig config;
  config.dataset = dataset;
  config.model.seq_length = seq_length;
  config.rng.seed = seed;
  config.train.train_iters = 1;
  config.train.global_batch_size = 4;
  return config;
}

inline std::unique_ptr<mbt::Dataset> make_dataset_of(const mbt::DatasetConfig& dataset, int64_t seq_length, int64_t seed) {
  return mbt::make_dataset(run_config_of(dataset, seq_length, seed));
}

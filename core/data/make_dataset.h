// From the config of a run to its data.
#pragma once

#include <memory>

#include "core/config/run_config.h"
#include "core/data/dataset.h"
#include "core/data/megatron/indexed_dataset.h"

namespace mbt {

/// Samples of each split that the run reads: the whole of training, all evaluations on the validation split, one on the test split.
/// nullopt: the whole split, once (validation.full_validation).
SampleCounts wanted_samples(const RunConfig& config);

/// Makes the dataset that the config describes. Throws InputError for contradictory settings, no usable data, a vocabulary larger than the
/// model's, and a split with a share in `split` but fewer tokens than one sample needs.
std::unique_ptr<Dataset> make_dataset(const RunConfig& config);

}  // namespace mbt

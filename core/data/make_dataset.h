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

/// look: only what can be seen at once, and nothing is written. Text that is still to be made into tokens is not read, and orders are not
/// computed: such a dataset has sizes (text: one sample a split), but no samples to read.
enum class DataWork : uint8_t { all, look };

/// Makes the dataset that the config describes. Throws InputError for contradictory settings, no usable data, a vocabulary larger than the
/// model's, and a split with a share in `split` but fewer tokens than one sample needs.
std::unique_ptr<Dataset> make_dataset(const RunConfig& config, DataWork work = DataWork::all);

}  // namespace mbt

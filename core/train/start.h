// What a run refuses before it takes memory or writes anything; `mbtrain plan` refuses the same.
#pragma once

#include <memory>
#include <string>

#include "core/config/run_config.h"
#include "core/data/make_dataset.h"

namespace mbt {

/// Opens the data of a resolved run and looks at all that its start depends on: the save folder (refuse_filled_folder), data and split,
/// that there is something to train on or to evaluate, and that the checkpoint is there, has all its files and fits the model. Writes
/// nothing with DataWork::look. Throws InputError.
std::unique_ptr<Dataset> check_start(const RunConfig& config, DataWork work);

/// Why a run that only evaluates has nothing to do; empty: it has.
std::string nothing_to_evaluate(const RunConfig& config, const Dataset& dataset);

}  // namespace mbt

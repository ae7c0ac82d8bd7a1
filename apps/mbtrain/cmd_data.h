// The parts of `mbtrain data` that have files of their own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/config/dataset_config.h"

namespace mbt {

int data_inspect(const std::vector<std::string>& args);

/// Describes a file of training data, read as dataset.kind and json_key say. Throws InputError, naming what the file looks like, when it is
/// not training data.
nlohmann::ordered_json data_facts(const std::string& path, const DatasetConfig& config);

}  // namespace mbt

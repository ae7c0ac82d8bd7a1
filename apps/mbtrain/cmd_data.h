// The parts of `mbtrain data` that have files of their own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace mbt {

int data_inspect(const std::vector<std::string>& args);

/// Describes a file of training data. Throws InputError, naming what the file looks like, when it is not training data.
nlohmann::ordered_json data_facts(const std::string& path);

}  // namespace mbt

// The parts of `mbtrain data` that have files of their own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace mbt {

int data_inspect(const std::vector<std::string>& args);

/// What a file of training data is. InputError: it is none, and what else it looks like.
nlohmann::ordered_json data_facts(const std::string& path);

}  // namespace mbt

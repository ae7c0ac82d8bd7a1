// Which files a run reads its data from, to tell later whether they are still the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/dataset_config.h"

namespace mbt {

/// In the order of the config; of a Megatron pair both files, of text only what its suffixes name. Empty for the synthetic language.
/// InputError as make_dataset() for data that cannot be found.
std::vector<std::string> data_files(const DatasetConfig& config);

/// A hash of the whole file would take as long as reading it.
inline constexpr int64_t kHeadBytes = 1 << 20;

struct DataFileFacts {
  std::string path;
  int64_t bytes = 0;
  uint64_t head_hash = 0;  ///< XXH64 of the first kHeadBytes
  std::string problem;     ///< why the file cannot be read; empty: it can
};
DataFileFacts data_file_facts(const std::string& path);

}  // namespace mbt

// Finds the data at a path that the user gave.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/config/dataset_config.h"

namespace mbt {

/// Kinds of data as dataset.kind names them, without auto, synthetic and sft.
enum class DataKind { text, jsonl, megatron, tokens, nanogpt };

/// Files of a folder of nanoGPT's, in the order of splits.
inline constexpr std::array kNanogptNames{"train.bin", "val.bin", "test.bin"};

struct DataSource {
  DataKind kind = DataKind::text;
  std::string path;                ///< as given
  std::vector<std::string> files;  ///< sorted; of a Megatron pair the prefix alone
};

/// kind: dataset.kind; automatic looks at names and first bytes. has_json_key: what would be text is JSON Lines, whatever it is called. A
/// path may be a file, a prefix of a .bin/.idx pair, a folder, or a pattern with * or ? in it. InputError: nothing there; a folder whose
/// files are of several kinds.
DataSource find_source(const std::string& path, DatasetKind kind, bool has_json_key = false);

/// One entry of dataset.blend and its like.
struct WeightedPath {
  double weight = 0;  ///< 0: not given
  std::string path;
};

/// [weight, path, ...] or [path, ...]: weighted when every other item, from the first, is a number. InputError names `field`: a weight that
/// is not above 0, no path.
std::vector<WeightedPath> parse_blend(const std::vector<std::string>& items, const std::string& field);

}  // namespace mbt

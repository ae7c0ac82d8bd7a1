#include "core/data/data_files.h"

#include <algorithm>

#include "core/data/data_source.h"
#include "core/data/megatron/indexed_format.h"
#include "core/data/text/text_dataset.h"
#include "core/io/files.h"

namespace mbt {
namespace {

/// As DatasetMaker finds them (make_dataset.cpp).
std::vector<std::string> files_at(const std::string& path, const DatasetConfig& config) {
  const DatasetKind kind = config.kind == DatasetKind::sft ? DatasetKind::jsonl : config.kind;
  const DataSource source = find_source(path, kind, config.json_key.has_value());
  if (source.kind == DataKind::megatron) {
    const IndexedPaths pair(source.files.front());
    return {pair.bin, pair.idx};
  }
  int64_t left_out = 0;
  const bool is_filtered = source.kind == DataKind::text && source.files != std::vector<std::string>{source.path};
  return is_filtered ? usable_text_files(source.files, config.text_suffixes, left_out) : source.files;
}

}  // namespace

std::vector<std::string> data_files(const DatasetConfig& config) {
  std::vector<std::string> paths;
  if (!config.path.empty()) paths.push_back(config.path);
  const std::pair<const char*, const std::vector<std::string>*> lists[] = {{"dataset.blend", &config.blend},
                                                                           {"dataset.train_data_path", &config.train_data_path},
                                                                           {"dataset.valid_data_path", &config.valid_data_path},
                                                                           {"dataset.test_data_path", &config.test_data_path}};
  for (const auto& [field, items] : lists) {
    if (items->empty()) continue;
    for (const WeightedPath& p : parse_blend(*items, field)) paths.push_back(p.path);
  }
  std::vector<std::string> files;
  for (const std::string& path : paths)
    for (const std::string& file : files_at(path, config))
      if (std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
  return files;
}

DataFileFacts data_file_facts(const std::string& path) {
  DataFileFacts facts;
  facts.path = path;
  try {
    const FileReader file(path);
    facts.bytes = file.size();
    std::string head(static_cast<size_t>(std::min(facts.bytes, kHeadBytes)), '\0');
    file.read_at(0, head.data(), static_cast<int64_t>(head.size()));
    facts.head_hash = xxhash64(head);
  } catch (const InputError& e) {
    facts.problem = e.what();
  }
  return facts;
}

}  // namespace mbt

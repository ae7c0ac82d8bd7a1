#include "core/data/dataset.h"

#include "core/base/error.h"
#include "core/data/synthetic.h"
#include "core/data/text_dataset.h"

namespace mbt {

std::string_view name_of(Split split) {
  constexpr std::array<std::string_view, 3> names{"training", "validation", "test"};
  return names[static_cast<size_t>(split)];
}

std::unique_ptr<Dataset> make_dataset(const DatasetConfig& config, int64_t seq_length, int64_t run_seed) {
  MBT_CHECK(seq_length > 0, "seq_length ", seq_length);
  if (config.kind == "synthetic" && !config.path.empty()) {
    throw InputError(text("dataset.kind synthetic contradicts dataset.path ", config.path, ": drop one of them"));
  }
  if (config.kind == "text" && config.path.empty()) throw InputError("dataset.kind text needs dataset.path: a file or a folder");
  if (config.path.empty()) return std::make_unique<SyntheticDataset>(config, seq_length, data_seed(config, run_seed));
  return std::make_unique<TextDataset>(config, seq_length);
}

}  // namespace mbt

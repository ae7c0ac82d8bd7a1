#include "tests/support/checkpoints.h"

#include "core/train/checkpoint/checkpoint.h"
#include "tests/support/tiny_run.h"

namespace mbt::test {

namespace fs = std::filesystem;

void reseal(const fs::path& checkpoint) {
  CheckpointIndex index = read_index(checkpoint.string(), false);
  for (CheckpointFile& f : index.files) f.digest = digest_of(FileReader((checkpoint / f.name).string()));
  write_file_atomically((checkpoint / kIndexFile).string(), index_text(index));
}

void flip_bit(const fs::path& file, int64_t at) {
  std::string bytes = content(file);
  char& byte = bytes.at(static_cast<size_t>(at < 0 ? at + static_cast<int64_t>(bytes.size()) : at));
  byte = static_cast<char>(byte ^ 1);
  write_file_atomically(file.string(), bytes);
}

std::map<std::string, std::vector<float>> tensors_of(const fs::path& checkpoint) {
  const CheckpointReader reader(checkpoint.string());
  std::map<std::string, std::vector<float>> all;
  for (const CheckpointTensor& t : reader.index().tensors) {
    const Shape shape = t.shape.size() == 1 ? Shape{t.shape[0]} : Shape{t.shape.at(0), t.shape.at(1)};
    all[t.name] = reader.read(t.name, shape, {0, shape.size()});
  }
  return all;
}

std::string state_of(const fs::path& checkpoint) {
  std::string all;
  for (const std::string& name : names_in(checkpoint))
    if (name != kConfigFile && name != kIndexFile) all += name + content(checkpoint / name);
  return all;
}

}  // namespace mbt::test

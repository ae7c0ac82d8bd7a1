#include "core/train/checkpoint/checkpoint_reader.h"

#include <algorithm>
#include <filesystem>

#include "core/train/checkpoint/checkpoint_folder.h"

namespace mbt {
namespace fs = std::filesystem;

template <class Use>
auto CheckpointReader::reading(Use use) const {
  try {
    return use();
  } catch (const InputError& e) {
    throw InputError(fmt::format("{}{}", e.what(), other_checkpoint_hint(path_)));
  }
}

CheckpointReader::CheckpointReader(const std::string& path, bool verify) : path_(path), verifies_(verify) {
  std::error_code unknown;
  if (!fs::exists(index_path(), unknown) && !unknown) {
    refuse(kIndexFile,
           "there is no such file: the checkpoint is incomplete, or an mbtrain version without it saved it; load it with that version");
  }
  index_ = reading([&] { return read_index(path_, verify); });
  const int64_t named = iteration_of(path_);
  if (named >= 0 && named != index_.iteration)
    refuse(kIndexFile, fmt::format("'iteration' is {} in the checkpoint of iteration {}", index_.iteration, named));
}

std::string CheckpointReader::index_path() const { return (fs::path(path_) / kIndexFile).string(); }

void CheckpointReader::refuse(const std::string& file, const std::string& what) const {
  throw InputError(fmt::format("{}: {}{}", (fs::path(path_) / file).string(), what, other_checkpoint_hint(path_)));
}

void CheckpointReader::check_sizes() const {
  for (const CheckpointFile& file : index_.files) check_file(file.name, false);
}

void CheckpointReader::check_file(const std::string& name, bool verifies) const {
  const CheckpointFile* const listed = index_.find_file(name);
  if (!listed) refuse(name, fmt::format("{} does not list this file", kIndexFile));
  const std::string path = (fs::path(path_) / name).string();
  std::error_code unknown;
  if (!fs::exists(path, unknown) && !unknown) refuse(name, fmt::format("there is no such file, which {} lists", kIndexFile));
  const FileReader file = reading([&] { return FileReader(path); });
  if (file.size() != listed->digest.bytes)
    refuse(name,
           fmt::format("{} bytes, expected {} as {} says: it is truncated or another file", file.size(), listed->digest.bytes, kIndexFile));
  if (!verifies) return;
  const FileDigest has = digest_of(file);
  if (has != listed->digest) {
    refuse(name, fmt::format("its hash is {}, expected {} as {} says: it was changed or is damaged", hash_text(has.hash),
                             hash_text(listed->digest.hash), kIndexFile));
  }
}

JsonDocument CheckpointReader::json(const std::string& name) const {
  check_file(name, verifies_);
  return read_json_file((fs::path(path_) / name).string());
}

std::string CheckpointReader::content(const std::string& name) const {
  check_file(name, verifies_);
  return reading([&] { return read_text_file((fs::path(path_) / name).string()); });
}

const SafetensorsFile& CheckpointReader::file(const std::string& name) const {
  const auto known = files_.find(name);
  if (known != files_.end()) return known->second;
  check_file(name, verifies_);
  return files_.emplace(name, reading([&] { return SafetensorsFile::open((fs::path(path_) / name).string()); })).first->second;
}

std::vector<float> CheckpointReader::read(const std::string& tensor, const Shape& shape, ElementRange range) const {
  const CheckpointTensor* const listed = index_.find_tensor(tensor);
  if (!listed) throw InputError(fmt::format("{}: has no tensor '{}'", index_path(), tensor));
  if (listed->shape != extents_of(shape)) {
    throw InputError(fmt::format(
        "{}: tensor '{}' has shape {}, this model's is {}. The checkpoint is of another model; its config is in run_config.json beside it",
        index_path(), tensor, shape_text(listed->shape), shape.str()));
  }
  std::vector<float> values(static_cast<size_t>(range.count));
  for (const CheckpointPiece& piece : listed->pieces) {
    const int64_t first = std::max(range.first, piece.first), end = std::min(range.end(), piece.first + piece.count);
    if (first < end) read_piece(*listed, piece, {first, end - first}, values.data() + (first - range.first));
  }
  return values;
}

/// range: of the tensor, inside the piece.
void CheckpointReader::read_piece(const CheckpointTensor& tensor, const CheckpointPiece& piece, ElementRange range, float* out) const {
  const SafetensorsFile& from = file(piece.file);
  const SafetensorsEntry* const entry = from.find(tensor.name);
  const std::vector<int64_t> expected = piece.count == tensor.size() ? tensor.shape : std::vector<int64_t>{piece.count};
  if (!entry)
    refuse(piece.file, fmt::format("has no tensor '{}', of which {} says that it holds {} elements", tensor.name, kIndexFile, piece.count));
  if (entry->shape != expected || entry->type != tensor.type) {
    refuse(piece.file, fmt::format("tensor '{}' is {}{}, expected {}{} as {} says", tensor.name, name_of(entry->type),
                                   shape_text(entry->shape), name_of(tensor.type), shape_text(expected), kIndexFile));
  }
  reading([&] { from.read_f32(*entry, range.first - piece.first, range.count, out); });
}

}  // namespace mbt

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
    throw InputError(text(e.what(), other_checkpoint_hint(path_)));
  }
}

CheckpointReader::CheckpointReader(const std::string& path, bool verify) : path_(path), verifies_(verify) {
  std::error_code unknown;
  if (!fs::exists(index_path(), unknown) && !unknown) {
    refuse(
        kIndexFile,
        "there is no such file: the checkpoint is incomplete, or of a version of this program that wrote none; load it with that version");
  }
  index_ = reading([&] { return read_index(path_, verify); });
  const int64_t named = iteration_of(path_);
  if (named >= 0 && named != index_.iteration)
    refuse(kIndexFile, text("'iteration' is ", index_.iteration, " in the checkpoint of iteration ", named));
}

std::string CheckpointReader::index_path() const { return (fs::path(path_) / kIndexFile).string(); }

void CheckpointReader::refuse(const std::string& file, const std::string& what) const {
  throw InputError(text((fs::path(path_) / file).string(), ": ", what, other_checkpoint_hint(path_)));
}

void CheckpointReader::check_file(const std::string& name) const {
  const CheckpointFile* const listed = index_.find_file(name);
  if (!listed) refuse(name, text(kIndexFile, " does not list this file"));
  const std::string path = (fs::path(path_) / name).string();
  std::error_code unknown;
  if (!fs::exists(path, unknown) && !unknown) refuse(name, text("there is no such file, which ", kIndexFile, " lists"));
  const FileReader file = reading([&] { return FileReader(path); });
  if (file.size() != listed->digest.bytes)
    refuse(name,
           text(file.size(), " bytes, expected ", listed->digest.bytes, " as ", kIndexFile, " says: it is truncated or another file"));
  if (!verifies_) return;
  const FileDigest has = digest_of(file);
  if (has != listed->digest) {
    refuse(name, text("its hash is ", hash_text(has.hash), ", expected ", hash_text(listed->digest.hash), " as ", kIndexFile,
                      " says: it was changed or is damaged"));
  }
}

JsonDocument CheckpointReader::json(const std::string& name) const {
  check_file(name);
  return read_json_file((fs::path(path_) / name).string());
}

std::string CheckpointReader::content(const std::string& name) const {
  check_file(name);
  return reading([&] { return read_text_file((fs::path(path_) / name).string()); });
}

const SafetensorsFile& CheckpointReader::file(const std::string& name) const {
  const auto known = files_.find(name);
  if (known != files_.end()) return known->second;
  check_file(name);
  return files_.emplace(name, reading([&] { return SafetensorsFile::open((fs::path(path_) / name).string()); })).first->second;
}

std::vector<float> CheckpointReader::read(const std::string& tensor, const Shape& shape, ElementRange range) const {
  const CheckpointTensor* const listed = index_.find_tensor(tensor);
  if (!listed) throw InputError(text(index_path(), ": has no tensor '", tensor, "'"));
  if (listed->shape != extents_of(shape)) {
    throw InputError(text(index_path(), ": tensor '", tensor, "' has shape ", shape_text(listed->shape), ", this model's is ", shape.str(),
                          ". The checkpoint is of another model; its config is in run_config.json beside it"));
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
    refuse(piece.file, text("has no tensor '", tensor.name, "', of which ", kIndexFile, " says that it holds ", piece.count, " elements"));
  if (entry->shape != expected || entry->type != tensor.type) {
    refuse(piece.file, text("tensor '", tensor.name, "' is ", name_of(entry->type), shape_text(entry->shape), ", expected ",
                            name_of(tensor.type), shape_text(expected), " as ", kIndexFile, " says"));
  }
  reading([&] { from.read_f32(*entry, range.first - piece.first, range.count, out); });
}

}  // namespace mbt

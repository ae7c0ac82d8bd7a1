// metadata.json: what a checkpoint consists of. Written last inside its folder: a folder that has it is complete.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/io/files.h"
#include "core/io/safetensors_header.h"
#include "core/tensor/tensor_view.h"

namespace mbt {

constexpr const char* kIndexFile = "metadata.json";

struct CheckpointFile {
  std::string name;  ///< inside the checkpoint's folder
  FileDigest digest;
};

/// Elements [first, first + count) of a tensor, in row-major order.
struct CheckpointPiece {
  std::string file;
  int64_t first = 0, count = 0;
};

/// A parameter by its name, or one of its moments: "exp_avg." or "exp_avg_sq." before the name.
struct CheckpointTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::F32;
  std::vector<int64_t> shape;
  std::vector<CheckpointPiece> pieces;  ///< one after another, all elements; in its file one is flat, or has `shape` when it is everything

  int64_t size() const;
};

struct CheckpointIndex {
  std::string program;  ///< that wrote it
  int64_t ranks = 1;    ///< that wrote it
  int64_t iteration = 0;
  int64_t save_number = 1;            ///< above that of all that were in the run's folder: the highest is the newest, also after a rewind
  std::vector<CheckpointFile> files;  ///< all but metadata.json
  std::vector<CheckpointTensor> tensors;

  const CheckpointFile* find_file(const std::string& name) const;      ///< nullptr: there is none
  const CheckpointTensor* find_tensor(const std::string& name) const;  ///< nullptr: there is none
};

/// This program's name and version, as checkpoints name it.
std::string checkpoint_program();

/// The file's text, with its own hash in it.
std::string index_text(const CheckpointIndex& index);
/// InputError "source: what is wrong": another format or version, a text that does not have the hash it names (verify), contradictions.
CheckpointIndex parse_index(const std::string& content, const std::string& source, bool verify);
/// metadata.json of a checkpoint, which must be there; InputError as parse_index.
CheckpointIndex read_index(const std::string& checkpoint, bool verify);
/// From the first lines of a checkpoint's metadata.json alone, which may be megabytes; nothing: they do not say.
std::optional<int64_t> save_number_of(const std::string& checkpoint);

/// [{"name", "bytes", "xxhash64"}, ...], as ranks tell each other and as it stands in metadata.json.
nlohmann::ordered_json files_json(const std::vector<CheckpointFile>& files);
std::vector<CheckpointFile> files_from(const nlohmann::json& list);

/// As files write shapes.
std::vector<int64_t> extents_of(const Shape& shape);

/// object[key], an integer from 0 on; InputError otherwise.
int64_t count_at(const nlohmann::json& object, const char* key);

}  // namespace mbt

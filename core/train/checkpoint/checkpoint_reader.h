// One checkpoint, open for reading by one rank. Nothing of a file is used before the file has been compared with what metadata.json says.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/base/json_reader.h"
#include "core/io/safetensors.h"
#include "core/model/sharding.h"
#include "core/tensor/tensor_view.h"
#include "core/train/checkpoint/checkpoint_index.h"

namespace mbt {

/// Every error is an InputError that names the file, what differs and, when the checkpoint is damaged, which other one is complete.
class CheckpointReader {
 public:
  /// verify: sizes and hashes are compared; otherwise sizes alone.
  explicit CheckpointReader(const std::string& path, bool verify = true);

  const std::string& path() const { return path_; }
  /// Of metadata.json.
  std::string index_path() const;
  const CheckpointIndex& index() const { return index_; }

  /// Every file that metadata.json lists is there and has its size.
  void check_sizes() const;
  JsonDocument json(const std::string& name) const;
  /// The whole file, as it is.
  std::string content(const std::string& name) const;
  /// Compared and opened when it is first asked for.
  const SafetensorsFile& file(const std::string& name) const;
  /// Elements `range` of a tensor that has this shape, from the files that hold them.
  std::vector<float> read(const std::string& tensor, const Shape& shape, ElementRange range) const;

 private:
  [[noreturn]] void refuse(const std::string& file, const std::string& what) const;
  /// Calls `use` and adds the name of another complete checkpoint to its InputErrors.
  template <class Use>
  auto reading(Use use) const;
  void check_file(const std::string& name, bool verifies) const;
  void read_piece(const CheckpointTensor& tensor, const CheckpointPiece& piece, ElementRange range, float* out) const;

  std::string path_;
  bool verifies_;
  CheckpointIndex index_;
  mutable std::map<std::string, SafetensorsFile> files_;
};

}  // namespace mbt

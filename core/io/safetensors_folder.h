// The tensors of a model folder as Hugging Face lays it out: model.safetensors, or shards that model.safetensors.index.json lists.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/function_ref.h"
#include "core/io/safetensors.h"

namespace mbt {

/// Opens all shards. Throws InputError, naming the folder or shard, when there are no such files (with advice when there are weights in
/// another format), when a shard is missing or outside the folder, when a shard lacks a tensor that the index assigns to it, and when it
/// holds a tensor that the index does not assign to it.
class SafetensorsFolder {
 public:
  static SafetensorsFolder open(const std::string& folder);
  /// The same, where the index may list tensors that no shard holds when `may_lack` says so.
  static SafetensorsFolder open(const std::string& folder, FunctionRef<bool(const std::string& tensor)> may_lack);

  const std::string& path() const { return path_; }
  /// Sorted.
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }
  /// In the order of files and of the bytes in each.
  std::vector<SafetensorsEntry> entries() const;
  /// The file that holds a tensor; InputError when there is none.
  const SafetensorsFile& file_of(std::string_view name) const;
  /// "__metadata__" of the first file.
  const std::map<std::string, std::string>& metadata() const { return files_.front().metadata(); }
  /// InputError when there is none.
  const SafetensorsEntry& at(std::string_view name) const;
  /// As SafetensorsFile::read_f32; InputError also when the shape is not `shape`.
  std::vector<float> read_f32(std::string_view name, const std::vector<int64_t>& shape) const;

 private:
  explicit SafetensorsFolder(const std::string& path) : path_(path) {}
  void add_shard(const std::string& file);
  void add_indexed_shards(const std::string& index_path, FunctionRef<bool(const std::string& tensor)> may_lack);

  struct Place {
    size_t file, entry;
  };
  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place, std::less<>> tensors_;
};

}  // namespace mbt

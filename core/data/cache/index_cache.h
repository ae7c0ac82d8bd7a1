// Arrays that are computed once from large data and then memory mapped by every process that needs them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "core/data/cache/cache_folder.h"
#include "core/io/mapped_file.h"

namespace mbt {

using IndexArray =
    std::variant<std::vector<uint8_t>, std::vector<uint16_t>, std::vector<int32_t>, std::vector<uint32_t>, std::vector<int64_t>>;

/// Immutable; either in memory or mapped from a file of the cache.
class IndexArrays {
 public:
  explicit IndexArrays(std::vector<IndexArray> arrays);
  /// The file's hash, its key and its sizes are checked. InputError says what is wrong.
  IndexArrays(MappedFile file, std::string_view key);

  size_t size() const { return views_.size(); }
  template <class T>
  std::span<const T> get(size_t i) const {
    MBT_CHECK(i < views_.size() && views_[i].size() % sizeof(T) == 0, "array {} of {}", i, views_.size());
    return {reinterpret_cast<const T*>(views_[i].data()), views_[i].size() / sizeof(T)};
  }
  bool is_mapped() const { return file_ != nullptr; }

 private:
  std::vector<IndexArray> memory_;
  std::unique_ptr<MappedFile> file_;
  std::vector<std::span<const std::byte>> views_;
};

/// The arrays that `key` describes completely (data, settings, version of the algorithm). They are read from the folder when they lie
/// there, undamaged and under the same key; else built and put there, by one process while others wait. Small arrays, and those of a folder
/// that cannot be written, stay in memory. Who writes takes away indices that nobody has used for long (prune_cache). work: bytes
/// that building goes through, about: little is done again rather than kept.
IndexArrays cached_arrays(const CacheFolder& folder, const std::string& name, const std::string& key, int64_t work,
                          const std::function<std::vector<IndexArray>()>& build);

}  // namespace mbt

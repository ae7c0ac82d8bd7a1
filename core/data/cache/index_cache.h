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

/// Returns the arrays that `key` describes completely (data, settings, version of the algorithm). They are read from the folder when an
/// undamaged file with the same key is there. Otherwise one process builds and writes them while the others wait. Small arrays stay in
/// memory, and so do arrays whose folder cannot be written. Writing also removes indices that were not used for long (prune_cache). work:
/// roughly the bytes that building reads; when it is small, the arrays are rebuilt each time instead of kept.
IndexArrays cached_arrays(const CacheFolder& folder, const std::string& name, const std::string& key, int64_t work,
                          const std::function<std::vector<IndexArray>()>& build);

}  // namespace mbt

#include "core/data/cache/index_cache.h"

#include <cstring>
#include <filesystem>
#include <optional>

#include "core/base/xxhash.h"
#include "core/io/files.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kIndexVersion = 1, kMostArrays = 64;
constexpr int64_t kWorthAFile = 4 << 20;  // bytes of work; less takes a few milliseconds

struct Header {
  char magic[8];
  uint64_t version, arrays, key_bytes;
};

int64_t padded(int64_t bytes) { return (bytes + 7) / 8 * 8; }

std::span<const std::byte> bytes_of(const IndexArray& array) {
  return std::visit([](const auto& v) { return std::as_bytes(std::span(v)); }, array);
}

/// Hash and sizes before the content is trusted.
class FileContent {
 public:
  FileContent(const MappedFile& file, std::string_view key) : file_(file) {
    if (file.size() < static_cast<int64_t>(sizeof(Header) + sizeof(uint64_t))) fail("is too short");
    Header header{};
    std::memcpy(&header, file.data(), sizeof header);
    if (std::string_view(header.magic, sizeof header.magic) != kIndexMagic || header.version != kIndexVersion)
      fail("is of another version");
    const auto hashed = file.size() - static_cast<int64_t>(sizeof(uint64_t));
    uint64_t hash = 0;
    std::memcpy(&hash, file.data() + hashed, sizeof hash);
    XxHash64 found;
    found.add(file.data(), static_cast<size_t>(hashed));
    if (found.value() != hash) fail("is damaged: its hash does not agree");
    if (header.arrays > kMostArrays || header.key_bytes > static_cast<uint64_t>(hashed)) fail("has impossible sizes");
    take_arrays(header, key, hashed);
  }
  std::vector<std::span<const std::byte>> views;

 private:
  [[noreturn]] void fail(const char* what) const { throw InputError(fmt::format("{}: {}", file_.path(), what)); }

  void take_arrays(const Header& header, std::string_view key, int64_t end) {
    int64_t at = sizeof(Header);
    std::vector<uint64_t> sizes(header.arrays);
    const auto take = [&](uint64_t bytes) {
      if (bytes > static_cast<uint64_t>(end - at)) fail("has impossible sizes");
      const std::span<const std::byte> view(file_.data() + at, bytes);
      at = std::min(end, at + padded(static_cast<int64_t>(bytes)));
      return view;
    };
    const auto size_bytes = take(header.arrays * sizeof(uint64_t));
    std::memcpy(sizes.data(), size_bytes.data(), size_bytes.size());
    const auto key_bytes = take(header.key_bytes);
    if (std::string_view(reinterpret_cast<const char*>(key_bytes.data()), key_bytes.size()) != key)
      fail("belongs to other data or settings");
    for (const uint64_t bytes : sizes) views.push_back(take(bytes));
  }

  const MappedFile& file_;
};

void write_arrays(const std::string& path, const std::string& key, const std::vector<IndexArray>& arrays) {
  AtomicFile file(path);
  const auto put = [&](const void* data, size_t bytes) {
    constexpr char kZeros[8] = {};
    file.write(data, static_cast<int64_t>(bytes));
    file.write(kZeros, padded(static_cast<int64_t>(bytes)) - static_cast<int64_t>(bytes));
  };
  Header header{.magic = {}, .version = kIndexVersion, .arrays = arrays.size(), .key_bytes = key.size()};
  std::memcpy(header.magic, kIndexMagic.data(), kIndexMagic.size());
  put(&header, sizeof header);
  std::vector<uint64_t> sizes;
  for (const IndexArray& a : arrays) sizes.push_back(bytes_of(a).size());
  put(sizes.data(), sizes.size() * sizeof(uint64_t));
  put(key.data(), key.size());
  for (const IndexArray& a : arrays) put(bytes_of(a).data(), bytes_of(a).size());
  const uint64_t hash = file.digest().hash;
  file.write(&hash, sizeof hash);
  file.commit();
}

std::optional<IndexArrays> read_arrays(const std::string& path, const std::string& key) {
  std::error_code none;
  if (!fs::exists(path, none)) return std::nullopt;
  try {
    IndexArrays arrays(MappedFile(path), key);
    mark_used(path);
    return arrays;
  } catch (const InputError&) {
    return std::nullopt;  // stale, damaged or of an older program: it is built again and replaced
  }
}

}  // namespace

IndexArrays::IndexArrays(std::vector<IndexArray> arrays) : memory_(std::move(arrays)) {
  for (const IndexArray& a : memory_) views_.push_back(bytes_of(a));
}

IndexArrays::IndexArrays(MappedFile file, std::string_view key) : file_(std::make_unique<MappedFile>(std::move(file))) {
  views_ = FileContent(*file_, key).views;
}

IndexArrays cached_arrays(const CacheFolder& folder, const std::string& name, const std::string& key, int64_t work,
                          const std::function<std::vector<IndexArray>()>& build) {
  if ((!folder.is_wanted && work < kWorthAFile) || !prepare_folder(folder)) return IndexArrays(build());
  const std::string path = (fs::path(folder.path) / fmt::format("{}-{}{}", name, hash_text(xxhash64(key)), kIndexSuffix)).string();
  if (std::optional<IndexArrays> found = read_arrays(path, key)) return std::move(*found);
  const FolderLock lock(folder.path);
  if (std::optional<IndexArrays> found = read_arrays(path, key)) return std::move(*found);  // another process has built it meanwhile
  std::vector<IndexArray> arrays = build();
  try {
    prune_cache(lock, kIndexDays, false);
    write_arrays(path, key, arrays);
  } catch (const Error&) {
    if (folder.is_wanted) throw;
    return IndexArrays(std::move(arrays));  // no room beside the data, which nobody asked to use
  }
  arrays.clear();
  return IndexArrays(MappedFile(path), key);
}

}  // namespace mbt

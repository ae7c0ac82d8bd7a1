#include "core/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/numerics/codecs.h"

namespace mbt {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian and read as they are");

namespace {

/// Elements of type From, each through `convert`.
template <class From, class To, class Convert>
void convert_all(const std::vector<char>& bytes, To* out, Convert convert) {
  for (size_t i = 0; i < bytes.size() / sizeof(From); ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    out[i] = convert(value);
  }
}

[[noreturn]] void wrong_type(const std::string& path, const SafetensorsEntry& entry, const char* expected) {
  throw InputError(
      fmt::format("{}: tensor '{}' is {}{}, expected {}", path, entry.name, name_of(entry.type), shape_text(entry.shape), expected));
}

}  // namespace

SafetensorsFile::SafetensorsFile(FileReader file, SafetensorsHeader header, int64_t data_begin)
    : file_(std::move(file)), header_(std::move(header)), data_begin_(data_begin) {
  for (size_t i = 0; i < header_.entries.size(); ++i) index_.emplace(header_.entries[i].name, i);
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  FileReader file(path);
  if (file.size() < 8) throw InputError(fmt::format("{}: {} bytes is too short for a safetensors file", path, file.size()));
  uint64_t length = 0;
  file.read_at(0, &length, 8);
  if (length > static_cast<uint64_t>(kMaxSafetensorsHeader)) {
    constexpr char kPointer[] = "version ";  // "version https://git-lfs.github.com/spec/v1"
    if (std::memcmp(&length, kPointer, sizeof length) == 0)
      throw InputError(
          fmt::format("{}: is a pointer of Git LFS, not the file itself; `git lfs pull` in its repository fetches that", path));
    throw InputError(
        fmt::format("{}: claims a header of {} bytes, expected at most {} (no safetensors file?)", path, length, kMaxSafetensorsHeader));
  }
  const int64_t header_bytes = static_cast<int64_t>(length);
  if (header_bytes > file.size() - 8) {
    throw InputError(fmt::format("{}: claims a header of {} bytes, but only {} follow (truncated?)", path, header_bytes, file.size() - 8));
  }
  std::string json(static_cast<size_t>(header_bytes), '\0');
  file.read_at(8, json.data(), header_bytes);
  SafetensorsHeader header = parse_safetensors_header(json, file.size() - 8 - header_bytes, path);
  return SafetensorsFile(std::move(file), std::move(header), 8 + header_bytes);
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &header_.entries[it->second];
}

const SafetensorsEntry& SafetensorsFile::at(std::string_view name) const {
  const SafetensorsEntry* entry = find(name);
  if (entry == nullptr) throw InputError(fmt::format("{}: has no tensor '{}'", path(), name));
  return *entry;
}

void SafetensorsFile::read(const SafetensorsEntry& entry, void* out) const {
  file_.read_at(data_begin_ + entry.begin, out, entry.size_bytes());
}

void SafetensorsFile::read(const SafetensorsEntry& entry, int64_t first, int64_t count, void* out) const {
  MBT_CHECK(first >= 0 && count >= 0 && count <= entry.size_bytes() - first, "{}: {} bytes from {} of {}", path(), count, first,
            entry.name);
  file_.read_at(data_begin_ + entry.begin + first, out, count);
}

std::vector<float> SafetensorsFile::read_f32(const SafetensorsEntry& entry) const {
  std::vector<float> out(static_cast<size_t>(entry.size()));
  read_f32(entry, 0, entry.size(), out.data());
  return out;
}

void SafetensorsFile::read_f32(const SafetensorsEntry& entry, int64_t first, int64_t count, float* out) const {
  MBT_CHECK(first >= 0 && count >= 0 && count <= entry.size() - first, "{}: {} elements from {} of {}", path(), count, first, entry.name);
  const int64_t size = size_of(entry.type), begin = data_begin_ + entry.begin + first * size;
  if (entry.type == SafetensorsType::F32) return file_.read_at(begin, out, count * size);
  std::vector<char> bytes(static_cast<size_t>(count * size));
  file_.read_at(begin, bytes.data(), count * size);
  switch (entry.type) {
    case SafetensorsType::F64: convert_all<double>(bytes, out, [](double v) { return static_cast<float>(v); }); break;
    case SafetensorsType::F16: convert_all<uint16_t>(bytes, out, decode_fp16); break;
    case SafetensorsType::BF16: convert_all<uint16_t>(bytes, out, decode_bf16); break;
    default: wrong_type(path(), entry, "F64, F32, F16 or BF16");
  }
}

std::vector<int32_t> SafetensorsFile::read_i32(const SafetensorsEntry& entry) const {
  std::vector<int32_t> out(static_cast<size_t>(entry.size()));
  std::vector<char> bytes(static_cast<size_t>(entry.size_bytes()));
  read(entry, bytes.data());
  const auto widen = [](auto v) { return static_cast<int32_t>(v); };
  const auto narrow = [&](int64_t v) {
    if (v < std::numeric_limits<int32_t>::min() || v > std::numeric_limits<int32_t>::max()) {
      throw InputError(fmt::format("{}: tensor '{}' holds {}, which 32 bits do not hold", path(), entry.name, v));
    }
    return static_cast<int32_t>(v);
  };
  switch (entry.type) {
    case SafetensorsType::I64: convert_all<int64_t>(bytes, out.data(), narrow); break;
    case SafetensorsType::I32: convert_all<int32_t>(bytes, out.data(), widen); break;
    case SafetensorsType::I16: convert_all<int16_t>(bytes, out.data(), widen); break;
    case SafetensorsType::I8: convert_all<int8_t>(bytes, out.data(), widen); break;
    case SafetensorsType::U8: convert_all<uint8_t>(bytes, out.data(), widen); break;
    default: wrong_type(path(), entry, "I64, I32, I16, I8 or U8");
  }
  return out;
}

int64_t TensorToWrite::size_bytes() const {
  int64_t bytes = size_of(type);
  for (const int64_t extent : shape) bytes *= extent;
  return bytes;
}

FileDigest write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                             const std::map<std::string, std::string>& metadata) {
  return write_safetensors(path, tensors, metadata, [&](size_t i) { return tensors[i].data; });
}

FileDigest write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                             const std::map<std::string, std::string>& metadata, const TensorSource& source) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return size_of(tensors[a].type) > size_of(tensors[b].type); });
  SafetensorsHeader header;
  header.metadata = metadata;
  int64_t position = 0;
  std::map<std::string_view, int> seen;
  for (const size_t i : order) {
    const TensorToWrite& t = tensors[i];
    MBT_CHECK(seen[t.name]++ == 0 && t.name != "__metadata__", "tensor name {}", t.name);
    header.entries.push_back({.name = t.name, .type = t.type, .shape = t.shape, .begin = position, .end = position + t.size_bytes()});
    position += t.size_bytes();
  }
  const std::string json = write_safetensors_header(header);
  const uint64_t length = json.size();
  AtomicFile file(path);
  file.write(&length, 8);
  file.write(json);
  for (const size_t i : order) file.write(source(i), tensors[i].size_bytes());
  file.commit();
  return file.digest();
}

}  // namespace mbt

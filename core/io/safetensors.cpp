#include "core/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "core/numerics/codecs.h"

namespace mbt {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian and read as they are");

namespace {

/// Elements of type From, each through `convert`.
template <class From, class To, class Convert>
void convert_all(const std::vector<char>& bytes, std::vector<To>& out, Convert convert) {
  for (size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    out[i] = convert(value);
  }
}

[[noreturn]] void wrong_type(const std::string& path, const SafetensorsEntry& entry, const char* expected) {
  throw InputError(text(path, ": tensor '", entry.name, "' is ", name_of(entry.type), shape_text(entry.shape), ", expected ", expected));
}

}  // namespace

SafetensorsFile::SafetensorsFile(FileReader file, SafetensorsHeader header, int64_t data_begin)
    : file_(std::move(file)), header_(std::move(header)), data_begin_(data_begin) {
  for (size_t i = 0; i < header_.entries.size(); ++i) index_.emplace(header_.entries[i].name, i);
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  FileReader file(path);
  if (file.size() < 8) throw InputError(text(path, ": ", file.size(), " bytes is too short for a safetensors file"));
  uint64_t length = 0;
  file.read_at(0, &length, 8);
  if (length > static_cast<uint64_t>(kMaxSafetensorsHeader)) {
    throw InputError(
        text(path, ": claims a header of ", length, " bytes, expected at most ", kMaxSafetensorsHeader, " (no safetensors file?)"));
  }
  const int64_t header_bytes = static_cast<int64_t>(length);
  if (header_bytes > file.size() - 8) {
    throw InputError(text(path, ": claims a header of ", header_bytes, " bytes, but only ", file.size() - 8, " follow (truncated?)"));
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
  if (entry == nullptr) throw InputError(text(path(), ": has no tensor '", name, "'"));
  return *entry;
}

void SafetensorsFile::read(const SafetensorsEntry& entry, void* out) const {
  file_.read_at(data_begin_ + entry.begin, out, entry.size_bytes());
}

std::vector<float> SafetensorsFile::read_f32(const SafetensorsEntry& entry) const {
  std::vector<float> out(static_cast<size_t>(entry.size()));
  if (entry.type == SafetensorsType::F32) {
    read(entry, out.data());
    return out;
  }
  std::vector<char> bytes(static_cast<size_t>(entry.size_bytes()));
  read(entry, bytes.data());
  switch (entry.type) {
    case SafetensorsType::F64: convert_all<double>(bytes, out, [](double v) { return static_cast<float>(v); }); break;
    case SafetensorsType::F16: convert_all<uint16_t>(bytes, out, decode_fp16); break;
    case SafetensorsType::BF16: convert_all<uint16_t>(bytes, out, decode_bf16); break;
    default: wrong_type(path(), entry, "F64, F32, F16 or BF16");
  }
  return out;
}

std::vector<int32_t> SafetensorsFile::read_i32(const SafetensorsEntry& entry) const {
  std::vector<int32_t> out(static_cast<size_t>(entry.size()));
  std::vector<char> bytes(static_cast<size_t>(entry.size_bytes()));
  read(entry, bytes.data());
  const auto widen = [](auto v) { return static_cast<int32_t>(v); };
  const auto narrow = [&](int64_t v) {
    if (v < std::numeric_limits<int32_t>::min() || v > std::numeric_limits<int32_t>::max()) {
      throw InputError(text(path(), ": tensor '", entry.name, "' holds ", v, ", which 32 bits do not hold"));
    }
    return static_cast<int32_t>(v);
  };
  switch (entry.type) {
    case SafetensorsType::I64: convert_all<int64_t>(bytes, out, narrow); break;
    case SafetensorsType::I32: convert_all<int32_t>(bytes, out, widen); break;
    case SafetensorsType::I16: convert_all<int16_t>(bytes, out, widen); break;
    case SafetensorsType::I8: convert_all<int8_t>(bytes, out, widen); break;
    case SafetensorsType::U8: convert_all<uint8_t>(bytes, out, widen); break;
    default: wrong_type(path(), entry, "I64, I32, I16, I8 or U8");
  }
  return out;
}

void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& t : tensors) order.push_back(&t);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return size_of(a->type) > size_of(b->type); });
  SafetensorsHeader header;
  header.metadata = metadata;
  int64_t position = 0;
  std::map<std::string_view, int> seen;
  for (const TensorToWrite* t : order) {
    MBT_CHECK(seen[t->name]++ == 0 && t->name != "__metadata__", "tensor name ", t->name);
    int64_t bytes = size_of(t->type);
    for (int64_t extent : t->shape) bytes *= extent;
    header.entries.push_back({.name = t->name, .type = t->type, .shape = t->shape, .begin = position, .end = position + bytes});
    position += bytes;
  }
  const std::string json = write_safetensors_header(header);
  const uint64_t length = json.size();
  AtomicFile file(path);
  file.write(&length, 8);
  file.write(json);
  for (size_t i = 0; i < order.size(); ++i) file.write(order[i]->data, header.entries[i].size_bytes());
  file.commit();
}

}  // namespace mbt

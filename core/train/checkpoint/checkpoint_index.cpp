#include "core/train/checkpoint/checkpoint_index.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/json_reader.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormat = "mbtrain checkpoint";
constexpr int64_t kVersion = 1;
constexpr int64_t kMaxBytes = int64_t{1} << 30, kMostRanks = 1 << 20;
constexpr std::string_view kOwnHash = "\"xxhash64_of_this_file\": \"", kNoHash = "0000000000000000";
constexpr std::string_view kSaveNumber = "\"save_number\": ";

/// Where the 16 digits of its own hash stand in the text; npos: nowhere.
size_t own_hash_at(std::string_view content) {
  const size_t key = content.find(kOwnHash);
  if (key == content.npos || content.size() - key < kOwnHash.size() + kNoHash.size()) return content.npos;
  return key + kOwnHash.size();
}

void check_own_hash(std::string content) {
  const size_t at = own_hash_at(content);
  if (at == content.npos) throw InputError("does not name its own hash");
  const std::string named = content.substr(at, kNoHash.size());
  content.replace(at, kNoHash.size(), kNoHash);
  const std::string has = hash_text(xxhash64(content));
  if (named != has) throw InputError(fmt::format("has the hash {}, but names {}: it was changed or is damaged", has, shown(named)));
}

uint64_t hash_from(const json& value) {
  const std::string digits = value.get<std::string>();
  uint64_t hash = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), hash, 16);
  if (error != std::errc() || end != digits.data() + digits.size())
    throw InputError(fmt::format("'xxhash64' is {}, expected hexadecimal digits", shown(digits)));
  return hash;
}

/// A name that leads nowhere else.
std::string file_name_from(const json& value) {
  std::string name = value.get<std::string>();
  if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string_view("/\0", 2)) != name.npos)
    throw InputError(fmt::format("expected the name of a file in the same folder, found {}", shown(name)));
  return name;
}

ordered_json tensors_json(const std::vector<CheckpointTensor>& tensors) {
  ordered_json all = ordered_json::object();
  for (const CheckpointTensor& t : tensors) {
    ordered_json pieces = ordered_json::array();
    for (const CheckpointPiece& p : t.pieces) pieces.push_back({{"file", p.file}, {"first", p.first}, {"count", p.count}});
    all[t.name] = {{"dtype", name_of(t.type)}, {"shape", t.shape}, {"pieces", std::move(pieces)}};
  }
  return all;
}

SafetensorsType type_from(const json& value) {
  for (const SafetensorsType type : {SafetensorsType::F32, SafetensorsType::BF16})
    if (value == name_of(type)) return type;
  throw InputError(fmt::format("'dtype' is {}, expected F32 or BF16", json_text(value)));
}

/// Every element in one piece.
void check_cover(const CheckpointTensor& t) {
  int64_t covered = 0;
  for (const CheckpointPiece& p : t.pieces) {
    if (p.first != covered || p.count > t.size() - covered)
      throw InputError(
          fmt::format("a piece holds elements [{}, {} + {}), expected from {} on, of {}", p.first, p.first, p.count, covered, t.size()));
    covered += p.count;
  }
  if (covered != t.size()) throw InputError(fmt::format("its pieces hold {} elements of {}", covered, t.size()));
}

CheckpointTensor tensor_from(const std::string& name, const json& j, const CheckpointIndex& index) try {
  CheckpointTensor t{.name = name, .type = type_from(j.at("dtype")), .shape = {}, .pieces = {}};
  int64_t size = 1;
  for (const json& extent : j.at("shape")) {
    if (!extent.is_number_integer() || extent < 0 || __builtin_mul_overflow(size, extent.get<int64_t>(), &size))
      throw InputError(fmt::format("'shape' is {}, expected extents from 0 on", json_text(j.at("shape"))));
    t.shape.push_back(extent);
  }
  for (const json& piece : j.at("pieces")) {
    t.pieces.push_back({file_name_from(piece.at("file")), count_at(piece, "first"), count_at(piece, "count")});
    if (!index.find_file(t.pieces.back().file))
      throw InputError(fmt::format("lies in {}, which 'files' does not list", t.pieces.back().file));
  }
  check_cover(t);
  return t;
} catch (const std::exception& e) {
  throw InputError(fmt::format("tensor {}: {}", shown(name), e.what()));
}

void check_version(const json& root) {
  if (!root.is_object() || !root.contains("format") || root["format"] != kFormat)
    throw InputError("is not the metadata of an mbtrain checkpoint");
  if (!root.contains("format_version") || root["format_version"] != kVersion)
    throw InputError(fmt::format("'format_version' is {}, this program reads version {}; load it with the program that wrote it: {}",
                                 json_text(root.value("format_version", json())), kVersion, json_text(root.value("program", json()))));
}

CheckpointIndex index_from(const json& root) {
  CheckpointIndex index;
  index.program = root.at("program");
  index.ranks = count_at(root, "ranks");
  if (index.ranks < 1 || index.ranks > kMostRanks)
    throw InputError(fmt::format("'ranks' is {}, expected 1 to {}", index.ranks, kMostRanks));
  index.iteration = count_at(root, "iteration");
  index.save_number = count_at(root, "save_number");
  index.files = files_from(root.at("files"));
  for (const auto& [name, tensor] : root.at("tensors").items()) index.tensors.push_back(tensor_from(name, tensor, index));
  return index;
}

}  // namespace

int64_t CheckpointTensor::size() const {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

const CheckpointFile* CheckpointIndex::find_file(const std::string& name) const {
  const auto it = std::find_if(files.begin(), files.end(), [&](const CheckpointFile& f) { return f.name == name; });
  return it == files.end() ? nullptr : &*it;
}

const CheckpointTensor* CheckpointIndex::find_tensor(const std::string& name) const {
  const auto it = std::find_if(tensors.begin(), tensors.end(), [&](const CheckpointTensor& t) { return t.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

std::string checkpoint_program() { return "mbtrain " MBT_VERSION; }

std::string index_text(const CheckpointIndex& index) {
  const ordered_json root = {{"format", kFormat},
                             {"format_version", kVersion},
                             {"xxhash64_of_this_file", kNoHash},
                             {"program", index.program},
                             {"ranks", index.ranks},
                             {"iteration", index.iteration},
                             {"save_number", index.save_number},
                             {"files", files_json(index.files)},
                             {"tensors", tensors_json(index.tensors)}};
  std::string content = json_text(root, {.indent = 1}) + "\n";
  return content.replace(own_hash_at(content), kNoHash.size(), hash_text(xxhash64(content)));
}

CheckpointIndex parse_index(const std::string& content, const std::string& source, bool verify) {
  const JsonDocument document = parse_json(content, source, {.max_bytes = kMaxBytes, .record_lines = false});
  try {
    check_version(document.root);
    if (verify) check_own_hash(content);
    return index_from(document.root);
  } catch (const std::exception& e) {
    throw InputError(fmt::format("{}: {}", source, e.what()));
  }
}

CheckpointIndex read_index(const std::string& checkpoint, bool verify) {
  const std::string path = (std::filesystem::path(checkpoint) / kIndexFile).string();
  return parse_index(read_text_file(path, kMaxBytes), path, verify);
}

std::optional<int64_t> save_number_of(const std::string& checkpoint) try {
  const FileReader file((std::filesystem::path(checkpoint) / kIndexFile).string());
  std::string head(static_cast<size_t>(std::min<int64_t>(file.size(), 1024)), '\0');
  file.read_at(0, head.data(), static_cast<int64_t>(head.size()));
  const size_t at = head.find(kSaveNumber);
  if (at == head.npos) return std::nullopt;
  int64_t number = 0;
  const char* const digits = head.data() + at + kSaveNumber.size();
  return std::from_chars(digits, head.data() + head.size(), number).ec == std::errc() ? std::optional(number) : std::nullopt;
} catch (const InputError&) {
  return std::nullopt;
}

ordered_json files_json(const std::vector<CheckpointFile>& files) {
  ordered_json list = ordered_json::array();
  for (const CheckpointFile& f : files)
    list.push_back({{"name", f.name}, {"bytes", f.digest.bytes}, {"xxhash64", hash_text(f.digest.hash)}});
  return list;
}

std::vector<CheckpointFile> files_from(const json& list) {
  std::vector<CheckpointFile> files;
  for (const json& f : list) files.push_back({file_name_from(f.at("name")), {count_at(f, "bytes"), hash_from(f.at("xxhash64"))}});
  return files;
}

std::vector<int64_t> extents_of(const Shape& shape) {
  std::vector<int64_t> all;
  for (int d = 0; d < shape.rank(); ++d) all.push_back(shape[d]);
  return all;
}

int64_t count_at(const json& object, const char* key) {
  const json& value = object.at(key);
  if (!value.is_number_integer() || value < 0)
    throw InputError(fmt::format("'{}' is {}, expected an integer from 0 on", key, json_text(value)));
  return value.get<int64_t>();
}

}  // namespace mbt

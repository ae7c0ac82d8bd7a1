#include "core/hf/hf_source.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/hf/hf_weights.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char *kFormat = "mbtrain hugging face source", *kPrefix = "hf.", *kConfig = "hf.config.json";
constexpr int64_t kVersion = 1, kMaxFile = int64_t{64} << 20, kMaxConstant = 64 << 10;

/// What belongs to a model beside config.json and its weights. A program's own files (.py) and other weights do not.
constexpr std::array kCarriedFiles{"generation_config.json",
                                   "tokenizer.json",
                                   "tokenizer_config.json",
                                   "tokenizer.model",
                                   "tokenizer.model.v3",
                                   "tekken.json",
                                   "special_tokens_map.json",
                                   "added_tokens.json",
                                   "vocab.json",
                                   "merges.txt",
                                   "chat_template.jinja",
                                   "chat_template.json",
                                   "LICENSE",
                                   "LICENSE.txt",
                                   "NOTICE",
                                   "USE_POLICY.md"};

struct KindName {
  HfTensorKind kind;
  std::string_view name;
};
constexpr std::array kKinds{KindName{HfTensorKind::weight, "weight"}, KindName{HfTensorKind::tied_copy, "tied_copy"},
                            KindName{HfTensorKind::causal_mask, "causal_mask"}, KindName{HfTensorKind::constant, "constant"}};

std::string to_hex(const std::string& bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    hex += kDigits[static_cast<unsigned char>(c) >> 4];
    hex += kDigits[c & 15];
  }
  return hex;
}

std::string from_hex(const std::string& hex) {
  const auto digit = [&](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    throw InputError(fmt::format("'bytes' holds {}, expected hexadecimal digits", shown(std::string(1, c))));
  };
  if (hex.size() % 2 != 0) throw InputError("'bytes' has an odd number of digits");
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  return bytes;
}

/// Compared row by row: a mask that is none is a model that we would train wrongly.
void require_causal_mask(const SafetensorsFile& file, const SafetensorsEntry& e, int64_t positions) {
  const std::vector<int64_t> shape{1, 1, positions, positions};
  if (e.shape != shape) {
    throw InputError(fmt::format("{}: tensor '{}' is {}{}, expected a causal mask {}", file.path(), e.name, name_of(e.type),
                                 shape_text(e.shape), shape_text(shape)));
  }
  const int64_t row_bytes = positions * size_of(e.type);
  std::string row(static_cast<size_t>(row_bytes), '\0');
  for (int64_t r = 0; r < positions; ++r) {
    file.read(e, r * row_bytes, row_bytes, row.data());
    if (row != causal_mask_row(e.type, positions, r)) {
      throw InputError(fmt::format(
          "{}: tensor '{}' is no causal mask (row {} is not 1 up to the diagonal and 0 after it); other masks are not implemented",
          file.path(), e.name, r));
    }
  }
}

HfTensor describe(const SafetensorsFolder& folder, const SafetensorsEntry& e, const HfWeights& weights, const ModelConfig& model) {
  HfTensor t{.name = e.name, .type = e.type, .kind = HfTensorKind::weight, .shape = {}, .bytes = {}};
  if (weights.find(e.name)) return t;
  t.shape = e.shape;
  const SafetensorsFile& file = folder.file_of(e.name);
  if (e.name == kHfHead) {
    t.kind = HfTensorKind::tied_copy;
  } else if (is_hf_causal_mask(e.name)) {
    t.kind = HfTensorKind::causal_mask;
    require_causal_mask(file, e, model.max_positions());
  } else {
    if (e.size_bytes() > kMaxConstant) {
      throw InputError(fmt::format("{}: tensor '{}' has {} bytes, expected at most {} of a buffer that follows from config.json",
                                   file.path(), e.name, e.size_bytes(), kMaxConstant));
    }
    t.kind = HfTensorKind::constant;
    t.bytes.resize(static_cast<size_t>(e.size_bytes()));
    file.read(e, t.bytes.data());
  }
  return t;
}

SafetensorsType type_from(const json& value) {
  for (const SafetensorsType type : all_safetensors_types())
    if (value == name_of(type)) return type;
  throw InputError(fmt::format("'dtype' is {}, expected a type of safetensors files", json_text(value)));
}

HfTensor tensor_from(const json& j) {
  HfTensor t{.name = j.at("name"), .type = type_from(j.at("dtype")), .kind = HfTensorKind::weight, .shape = {}, .bytes = {}};
  const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const KindName& k) { return j.at("kind") == k.name; });
  if (kind == kKinds.end())
    throw InputError(fmt::format("'kind' is {}, expected weight, tied_copy, causal_mask or constant", json_text(j.at("kind"))));
  t.kind = kind->kind;
  if (t.kind == HfTensorKind::weight) return t;
  for (const json& extent : j.at("shape")) {
    if (!extent.is_number_integer() || extent < 0 || extent > int64_t{1} << 40)
      throw InputError(fmt::format("'shape' is {}, expected extents from 0 on", json_text(j.at("shape"))));
    t.shape.push_back(extent);
  }
  if (t.kind == HfTensorKind::constant) {
    t.bytes = from_hex(j.at("bytes").get<std::string>());
    double bytes = static_cast<double>(size_of(t.type));
    for (const int64_t extent : t.shape) bytes *= static_cast<double>(extent);
    if (bytes != static_cast<double>(t.bytes.size()))
      throw InputError(fmt::format("tensor {} has {} bytes, its shape another number", shown(t.name), t.bytes.size()));
  }
  return t;
}

json parse_manifest(const std::string& content, const std::string& where) {
  json root = parse_json(content, where, {.max_bytes = int64_t{1} << 30, .record_lines = false}).root;
  if (!root.is_object() || root.value("format", json()) != kFormat || root.value("format_version", json()) != kVersion)
    throw InputError(fmt::format("{}: is not what this program writes of a Hugging Face source", where));
  return root;
}

}  // namespace

std::string causal_mask_row(SafetensorsType type, int64_t positions, int64_t row) {
  const float one = 1.0F;
  std::string element(static_cast<size_t>(size_of(type)), '\0');
  switch (type) {
    case SafetensorsType::U8:
    case SafetensorsType::I8:
    case SafetensorsType::BOOL: element[0] = 1; break;
    case SafetensorsType::F32: std::memcpy(element.data(), &one, 4); break;
    case SafetensorsType::F16: element = {'\x00', '\x3c'}; break;
    case SafetensorsType::BF16: element = {static_cast<char>(0x80), '\x3f'}; break;
    default: throw InputError(fmt::format("a causal mask of type {}, expected BOOL, U8, I8, F32, F16 or BF16", name_of(type)));
  }
  std::string bytes;
  bytes.reserve(static_cast<size_t>(positions) * element.size());
  for (int64_t c = 0; c <= row; ++c) bytes += element;
  bytes.resize(static_cast<size_t>(positions) * element.size(), '\0');
  return bytes;
}

HfSource HfSource::read(const std::string& folder, const ModelConfig& model) {
  const HfWeights weights(folder, model);
  HfSource source;
  source.config = read_text_file((fs::path(folder) / "config.json").string(), kMaxFile);
  source.metadata = weights.folder().metadata();
  for (const SafetensorsEntry& e : weights.folder().entries()) source.tensors.push_back(describe(weights.folder(), e, weights, model));
  for (const char* name : kCarriedFiles) {
    const fs::path path = fs::path(folder) / name;
    std::error_code unknown;
    if (fs::exists(path, unknown)) source.files.emplace_back(name, read_text_file(path.string(), kMaxFile));
  }
  return source;
}

std::vector<std::pair<std::string, std::string>> hf_source_files(const HfSource& source) {
  ordered_json tensors = ordered_json::array(), names = ordered_json::array();
  for (const HfTensor& t : source.tensors) {
    ordered_json j{{"name", t.name},
                   {"dtype", name_of(t.type)},
                   {"kind", std::find_if(kKinds.begin(), kKinds.end(), [&](const KindName& k) { return k.kind == t.kind; })->name}};
    if (t.kind != HfTensorKind::weight) j["shape"] = t.shape;
    if (t.kind == HfTensorKind::constant) j["bytes"] = to_hex(t.bytes);
    tensors.push_back(std::move(j));
  }
  std::vector<std::pair<std::string, std::string>> files{{kConfig, source.config}};
  for (const auto& [name, content] : source.files) {
    names.push_back(name);
    files.emplace_back(kPrefix + name, content);
  }
  const ordered_json root{
      {"format", kFormat}, {"format_version", kVersion}, {"files", names}, {"metadata", source.metadata}, {"tensors", tensors}};
  files.emplace_back(kHfSourceFile, json_text(root, {.indent = 1}) + "\n");
  return files;
}

HfSource read_hf_source_files(const std::function<std::string(const std::string& name)>& read) {
  const json root = parse_manifest(read(kHfSourceFile), kHfSourceFile);
  HfSource source;
  source.config = read(kConfig);
  try {
    source.metadata = root.at("metadata").get<std::map<std::string, std::string>>();
    for (const json& t : root.at("tensors")) source.tensors.push_back(tensor_from(t));
    for (const json& name : root.at("files")) {
      const std::string file = name.get<std::string>();
      if (std::find(kCarriedFiles.begin(), kCarriedFiles.end(), file) == kCarriedFiles.end())
        throw InputError(fmt::format("the file {} is none that belongs to a model", shown(file)));
      source.files.emplace_back(file, read(kPrefix + file));
    }
  } catch (const std::exception& e) {
    throw InputError(fmt::format("{}: {}", kHfSourceFile, e.what()));
  }
  return source;
}

}  // namespace mbt

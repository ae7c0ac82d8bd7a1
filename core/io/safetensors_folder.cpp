#include "core/io/safetensors_folder.h"

#include <filesystem>
#include <set>

#include "core/base/error.h"
#include "core/base/json_reader.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// Tensor name to shard, as the index says.
std::map<std::string, std::string> read_weight_map(const std::string& path) {
  const JsonDocument document = read_json_file(path, {.max_bytes = 256 << 20, .record_lines = false, .is_of_others = true});
  document.refuse_flaws("/weight_map");
  const auto fail = [&](const std::string& what) { throw InputError(fmt::format("{}: {}", path, what)); };
  if (!document.root.is_object() || !document.root.contains("weight_map")) fail("has no object 'weight_map'");
  const nlohmann::json& map = document.root["weight_map"];
  if (!map.is_object() || map.empty()) fail("'weight_map' is no object with tensor names");
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : map.items()) {
    if (!shard.is_string()) fail(fmt::format("'weight_map' of tensor '{}' is {}, expected a file name", tensor, shard.type_name()));
    const std::string name = shard.get<std::string>();
    if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string_view("/\0", 2)) != name.npos) {
      fail(fmt::format("the index puts tensor '{}' into '{}', expected the name of a file in the same folder", tensor, name));
    }
    shards[tensor] = name;
  }
  return shards;
}

/// What to do with weights of another format, when there are some.
std::string hint_of_other_format(const std::string& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const bool is_pickle = name.ends_with(".bin") || name.ends_with(".pth") || name.ends_with(".pt") || name.ends_with(".bin.index.json");
    if (is_pickle || name.ends_with(".h5") || name.ends_with(".msgpack") || name.ends_with(".gguf")) {
      return fmt::format(
          "; the weights in {} are not read: convert them to safetensors, as transformers does with "
          "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW)",
          name);
    }
  }
  return "";
}

}  // namespace

SafetensorsFolder SafetensorsFolder::open(const std::string& folder) {
  return open(folder, [](const std::string&) { return false; });
}

SafetensorsFolder SafetensorsFolder::open(const std::string& folder, FunctionRef<bool(const std::string& tensor)> may_lack) {
  SafetensorsFolder result(folder);
  std::error_code error;
  if (!fs::is_directory(folder, error)) throw InputError(fmt::format("{}: no such folder", folder));
  const fs::path single = fs::path(folder) / kSingle, index = fs::path(folder) / kIndex;
  if (fs::exists(single, error)) {
    result.add_shard(single.string());
  } else if (fs::exists(index, error)) {
    result.add_indexed_shards(index.string(), may_lack);
  } else {
    throw InputError(fmt::format("{}: holds neither {} nor {}{}", folder, kSingle, kIndex, hint_of_other_format(folder)));
  }
  return result;
}

void SafetensorsFolder::add_shard(const std::string& file) {
  files_.push_back(SafetensorsFile::open(file));
  const std::vector<SafetensorsEntry>& entries = files_.back().entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto [it, is_new] = tensors_.emplace(entries[i].name, Place{files_.size() - 1, i});
    if (!is_new) throw InputError(fmt::format("{}: tensor '{}' is also in {}", file, it->first, files_[it->second.file].path()));
  }
}

void SafetensorsFolder::add_indexed_shards(const std::string& index_path, FunctionRef<bool(const std::string& tensor)> may_lack) {
  const std::map<std::string, std::string> shard_of = read_weight_map(index_path);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) add_shard((fs::path(path_) / shard).string());
  for (const auto& [tensor, shard] : shard_of) {
    const auto it = tensors_.find(tensor);
    if (it == tensors_.end() && may_lack(tensor)) continue;
    const std::string said = fmt::format("{}: tensor '{}' is said to be in {}", index_path, tensor, shard);
    if (it == tensors_.end()) throw InputError(fmt::format("{}, which does not hold it", said));
    const std::string found = fs::path(files_[it->second.file].path()).filename().string();
    if (found != shard) throw InputError(fmt::format("{}, but is in {}", said, found));
  }
  for (const auto& [tensor, place] : tensors_) {
    if (!shard_of.contains(tensor))
      throw InputError(fmt::format("{}: holds tensor '{}', which {} does not list", files_[place.file].path(), tensor, index_path));
  }
}

std::vector<std::string> SafetensorsFolder::names() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : tensors_) names.push_back(name);
  return names;
}

std::vector<SafetensorsEntry> SafetensorsFolder::entries() const {
  std::vector<SafetensorsEntry> all;
  for (const SafetensorsFile& file : files_) all.insert(all.end(), file.entries().begin(), file.entries().end());
  return all;
}

const SafetensorsFile& SafetensorsFolder::file_of(std::string_view name) const {
  static_cast<void>(at(name));
  return files_[tensors_.find(name)->second.file];
}

const SafetensorsEntry& SafetensorsFolder::at(std::string_view name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) throw InputError(fmt::format("{}: has no tensor '{}'", path_, name));
  return files_[it->second.file].entries()[it->second.entry];
}

std::vector<float> SafetensorsFolder::read_f32(std::string_view name, const std::vector<int64_t>& shape) const {
  const SafetensorsEntry& entry = at(name);
  const SafetensorsFile& file = files_[tensors_.find(name)->second.file];
  if (entry.shape != shape) {
    throw InputError(fmt::format("{}: tensor '{}' is {}{}, expected the shape {}", file.path(), name, name_of(entry.type),
                                 shape_text(entry.shape), shape_text(shape)));
  }
  return file.read_f32(entry);
}

}  // namespace mbt

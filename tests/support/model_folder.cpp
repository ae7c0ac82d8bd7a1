#include "tests/support/model_folder.h"

#include <fstream>

namespace mbt::test {
namespace fs = std::filesystem;

ModelFolder ModelFolder::read(const fs::path& folder) {
  ModelFolder m;
  m.config = nlohmann::ordered_json::parse(std::ifstream(folder / "config.json"));
  const SafetensorsFolder weights = SafetensorsFolder::open(folder.string());
  for (const SafetensorsEntry& e : weights.entries()) {
    m.tensors.push_back({e.name, e.type, e.shape, std::string(static_cast<size_t>(e.size_bytes()), '\0')});
    weights.file_of(e.name).read(e, m.tensors.back().bytes.data());
  }
  return m;
}

ModelFolder ModelFolder::golden(const std::string& name) { return read(fs::path(MBT_SOURCE_DIR) / "tests/golden/models" / name); }

ModelFolder::Tensor& ModelFolder::at(const std::string& name) {
  for (Tensor& t : tensors)
    if (t.name == name) return t;
  throw std::out_of_range(name);
}

void ModelFolder::add(const std::string& name, SafetensorsType type, std::vector<int64_t> shape, std::string bytes) {
  tensors.push_back({name, type, std::move(shape), std::move(bytes)});
}

void ModelFolder::write(const fs::path& folder) const {
  std::ofstream(folder / "config.json") << config.dump(2);
  for (const auto& [name, content] : files) std::ofstream(folder / name, std::ios::binary) << content;
  write_weights(folder / "model.safetensors", tensors);
}

void ModelFolder::write_weights(const fs::path& file, const std::vector<Tensor>& some) const {
  std::vector<TensorToWrite> all;
  for (const Tensor& t : some) all.push_back({t.name, t.type, t.shape, t.bytes.data()});
  write_safetensors(file.string(), all, {{"format", "pt"}});
}

std::map<std::string, ModelFolder::Tensor> ModelFolder::by_name() const {
  std::map<std::string, Tensor> all;
  for (const Tensor& t : tensors) all[t.name] = t;
  return all;
}

}  // namespace mbt::test

// A Hugging Face folder in memory, to be changed and written.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/io/safetensors_folder.h"

namespace mbt::test {

struct ModelFolder {
  struct Tensor {
    std::string name;
    SafetensorsType type = SafetensorsType::F32;
    std::vector<int64_t> shape;
    std::string bytes;
    bool operator==(const Tensor&) const = default;
  };
  nlohmann::ordered_json config;
  std::vector<Tensor> tensors;
  std::map<std::string, std::string> files;  ///< name and content

  /// config.json, the tensors of all files, and nothing else.
  static ModelFolder read(const std::filesystem::path& folder);
  /// One of tests/golden/models.
  static ModelFolder golden(const std::string& name);
  Tensor& at(const std::string& name);
  void add(const std::string& name, SafetensorsType type, std::vector<int64_t> shape, std::string bytes);
  /// Into the folder, which exists: config.json, model.safetensors, files.
  void write(const std::filesystem::path& folder) const;
  void write_weights(const std::filesystem::path& file, const std::vector<Tensor>& some) const;
  /// Sorted by name.
  std::map<std::string, Tensor> by_name() const;
};

}  // namespace mbt::test

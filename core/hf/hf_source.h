// The content of a Hugging Face folder apart from the values of our parameters: enough to write the whole folder again. Checkpoints carry
// it through training, from import to export.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json_reader.h"
#include "core/config/model_config.h"
#include "core/io/safetensors_folder.h"

namespace mbt {

/// What a tensor of the files is.
enum class HfTensorKind : uint8_t {
  weight,       ///< values of a parameter
  tied_copy,    ///< a head that is stored beside the embedding it is tied to
  causal_mask,  ///< ones up to the diagonal: [1,1,P,P] (older GPT-2 files)
  constant      ///< few bytes that follow from the config (rotary frequencies), kept as they are
};

struct HfTensor {
  std::string name;  ///< as the files have it, with or without the family's prefix
  SafetensorsType type = SafetensorsType::F32;
  HfTensorKind kind = HfTensorKind::weight;
  std::vector<int64_t> shape;  ///< of tensors that are no weights
  std::string bytes;           ///< of constants

  bool operator==(const HfTensor&) const = default;
};

struct HfSource {
  std::string config;                                      ///< config.json, byte for byte
  std::vector<HfTensor> tensors;                           ///< of all files, in their order
  std::map<std::string, std::string> metadata;             ///< "__metadata__" of the weights
  std::vector<std::pair<std::string, std::string>> files;  ///< tokenizer.json, generation_config.json, ...: name and content

  /// Throws InputError for a weight that is not F32, F16 or BF16, a wrong causal mask, a file that is too large, and as HfWeights does.
  static HfSource read(const std::string& folder, const ModelConfig& model);

  bool operator==(const HfSource&) const = default;
};

// -- as files of a checkpoint, all names beginning with "hf."
constexpr const char* kHfSourceFile = "hf.source.json";
/// Name and content of each, kHfSourceFile among them.
std::vector<std::pair<std::string, std::string>> hf_source_files(const HfSource& source);
/// read: the content of a file of the checkpoint by name. InputError "hf.source.json: what is wrong".
HfSource read_hf_source_files(const std::function<std::string(const std::string& name)>& read);

/// Row `row` of a causal mask of `positions`; InputError for a type that masks do not have.
std::string causal_mask_row(SafetensorsType type, int64_t positions, int64_t row);

}  // namespace mbt

// The weights of a Hugging Face folder, in our layout.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config/model_config.h"
#include "core/hf/hf_names.h"
#include "core/io/safetensors_folder.h"

namespace mbt {

class HfWeights {
 public:
  /// Checks all names and shapes against the model before any weight is used. InputError: a tensor that is missing, has another shape or
  /// another type than F32, F16 or BF16, or is not part of the model; a head that is stored beside the embedding it is tied to and differs
  /// from it. Names with and without the family's prefix are accepted.
  HfWeights(const std::string& folder, const ModelConfig& model);

  const SafetensorsFolder& folder() const { return folder_; }
  /// With the names that occur in the files.
  const std::vector<HfSlice>& slices() const { return slices_; }
  /// nullptr: no weight of that name.
  const HfSlice* find(const std::string& hf_name) const;
  /// Elements [first, first + count) of a weight as the file holds them. InputError: a NaN or an infinity, with its tensor and place.
  void read_elements(const HfSlice& slice, int64_t first, int64_t count, char* out) const;
  /// Reads all slices of one parameter into `values`, which holds the whole parameter; padding rows keep what they have. InputError
  /// as read_elements.
  void read(const std::string& parameter, std::vector<float>& values) const;

 private:
  void resolve_names();
  void refuse_unexpected(bool tied) const;
  void compare_tied_head() const;

  SafetensorsFolder folder_;
  std::vector<HfSlice> slices_;
  std::map<std::string, size_t> by_name_;
};

}  // namespace mbt

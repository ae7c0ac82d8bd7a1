// The weights of a Hugging Face folder, in our layout.
#pragma once

#include <string>
#include <vector>

#include "core/config/model_config.h"
#include "core/io/safetensors_folder.h"
#include "core/model/hf_names.h"

namespace mbt {

class HfWeights {
 public:
  /// Checks all names and shapes against the model before anything is read. InputError: a tensor that is missing, has another shape, is no
  /// floating-point tensor, or is not part of the model. Names with and without "transformer." or "model." in front are accepted.
  HfWeights(const std::string& folder, const ModelConfig& model);

  /// With the names that occur in the files.
  const std::vector<HfSlice>& slices() const { return slices_; }
  /// Reads all slices of one parameter into `values`, which holds the whole parameter; padding rows keep what they have.
  void read(const std::string& parameter, std::vector<float>& values) const;

 private:
  void resolve_names();
  void refuse_unexpected(bool tied) const;

  SafetensorsFolder folder_;
  std::vector<HfSlice> slices_;
};

}  // namespace mbt

#include "core/model/hf_weights.h"

#include <set>

#include "core/base/error.h"
#include "core/config/hf_config.h"

namespace mbt {
namespace {

/// "model.layers.0..." -> "layers.0...": files saved from the bare transformer, without the language-model head, lack the first part.
std::string without_prefix(const std::string& name) {
  for (const std::string prefix : {"transformer.", "model."}) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return name;
}

bool is_float(SafetensorsType type) {
  return type == SafetensorsType::F64 || type == SafetensorsType::F32 || type == SafetensorsType::F16 || type == SafetensorsType::BF16;
}

}  // namespace

HfWeights::HfWeights(const std::string& folder, const ModelConfig& model)
    : folder_(SafetensorsFolder::open(folder)), slices_(hf_slices(hf_model_type(folder), model)) {
  resolve_names();
  refuse_unexpected(model.share_embeddings_and_output_weights);
}

void HfWeights::resolve_names() {
  for (HfSlice& slice : slices_) {
    if (!folder_.contains(slice.hf_name) && folder_.contains(without_prefix(slice.hf_name))) slice.hf_name = without_prefix(slice.hf_name);
    const SafetensorsEntry& entry = folder_.at(slice.hf_name);
    if (entry.shape != slice.hf_shape || !is_float(entry.type)) {
      throw InputError(text(folder_.path(), ": tensor '", slice.hf_name, "' is ", name_of(entry.type), shape_text(entry.shape),
                            ", but config.json asks for ", shape_text(slice.hf_shape), " in F64, F32, F16 or BF16"));
    }
  }
}

void HfWeights::refuse_unexpected(bool tied) const {
  std::set<std::string> known;
  for (const HfSlice& slice : slices_) known.insert(slice.hf_name);
  if (tied) known.insert("lm_head.weight");  // some files repeat the tied embedding
  for (const std::string& name : folder_.names()) {
    if (!known.contains(name) && !is_known_hf_buffer(name)) {
      throw InputError(text(folder_.path(), ": tensor '", name, "' is not part of the model that config.json describes"));
    }
  }
}

void HfWeights::read(const std::string& parameter, std::vector<float>& values) const {
  for (const HfSlice& slice : slices_) {
    if (slice.parameter == parameter) scatter_hf(slice, folder_.read_f32(slice.hf_name, slice.hf_shape), values);
  }
}

}  // namespace mbt

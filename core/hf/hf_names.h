// Tensors of Hugging Face files: which rows of which of our parameters a tensor of a model file holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/model_config.h"

namespace mbt {

/// Tensor `hf_name` is rows [row_begin, row_begin + rows) of `parameter`, a matrix [*, cols]; vectors have one column.
struct HfSlice {
  std::string hf_name;
  std::string parameter;
  std::vector<int64_t> hf_shape;  ///< [rows, cols]; [cols, rows] when transposed; [rows] for vectors
  int64_t row_begin = 0, rows = 0, cols = 1;
  bool transposed = false;  ///< the file stores this linear weight as [in, out]
};

/// Returns all tensors of a model in the order of the forward pass, named as the family of `model_type` has them (core/hf/family.h).
/// Embedding and head cover the first vocab_size rows: the padding has no counterpart.
std::vector<HfSlice> hf_slices(const std::string& model_type, const ModelConfig& model);

/// The head's name in every family.
inline constexpr const char* kHfHead = "lm_head.weight";

/// "model.layers.0..." -> "layers.0...", the name in files that were saved from the bare transformer, without the language-model head.
std::string without_hf_prefix(const std::string& name);

/// Whether files of older transformers have a causal mask of this name beside the weights.
bool is_hf_causal_mask(const std::string& name);
/// The same for everything that follows from the config: causal masks, rotary frequencies.
bool is_known_hf_buffer(const std::string& name);

/// Elements [first, first + count) of the tensor as the file holds it, `width` bytes each, to their places in the whole parameter.
void scatter_elements(const HfSlice& slice, int64_t first, int64_t count, int64_t width, const char* from, char* parameter);

/// The reverse: elements [first, first + count) of the parameter, counted from row_begin on, to their places in the whole tensor as the
/// file holds it.
void gather_elements(const HfSlice& slice, int64_t first, int64_t count, int64_t width, const char* from, char* tensor);

/// The whole tensor as the file would hold it, of a parameter with the values `parameter`.
std::vector<float> gather_hf(const HfSlice& slice, const std::vector<float>& parameter);

}  // namespace mbt

// Hugging Face tensor names as data: which rows of which of our parameters a tensor of a model file holds.
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
  bool transposed = false;  ///< gpt2 stores linear weights as [in, out]
};

/// All tensors of a model, in the order of the forward pass; model_type as in config.json. Embedding and head cover the first vocab_size
/// rows: the padding has no counterpart.
std::vector<HfSlice> hf_slices(const std::string& model_type, const ModelConfig& model);

/// The head's name in every family.
inline constexpr const char* kHfHead = "lm_head.weight";

/// "model.layers.0..." -> "layers.0...", as files have it that were saved from the bare transformer, without the language-model head.
std::string without_hf_prefix(const std::string& name);

/// Tensors that files of older transformers hold beside the weights: causal masks, rotary frequencies. They follow from the config.
bool is_known_hf_buffer(const std::string& name);

/// Elements [first, first + count) of the tensor as the file holds it, `width` bytes each, to their places in the whole parameter.
void scatter_elements(const HfSlice& slice, int64_t first, int64_t count, int64_t width, const char* from, char* parameter);

/// The reverse: elements [first, first + count) of the parameter, counted from row_begin on, to their places in the whole tensor as the
/// file holds it.
void gather_elements(const HfSlice& slice, int64_t first, int64_t count, int64_t width, const char* from, char* tensor);

/// The whole tensor as the file would hold it, of a parameter with the values `parameter`.
std::vector<float> gather_hf(const HfSlice& slice, const std::vector<float>& parameter);

}  // namespace mbt

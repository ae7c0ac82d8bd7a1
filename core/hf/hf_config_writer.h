// Our architecture as a Hugging Face config.json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json_reader.h"
#include "core/config/model_config.h"

namespace mbt {

/// Returns the model_type of the first family in the table (core/hf/family.h) whose config.json can describe `model`. Throws InputError
/// with every property that stands in the way of the nearest one.
std::string hf_family_of(const ModelConfig& model);

/// Tokens with a meaning of their own, as config.json and generation_config.json name them.
struct HfTokenIds {
  std::optional<int64_t> bos, eos;
  std::optional<int64_t> eod;  ///< ends a document, where that is another than what ends an answer
};

/// The text of a config.json for a model that has come from none; weights are stored as `dtype` ("float32", "bfloat16", "float16").
/// Read back, it gives `model`. InputError as hf_family_of.
std::string new_hf_config_text(const ModelConfig& model, const std::string& dtype, const HfTokenIds& tokens);

/// The text of a generation_config.json: with what generation begins, and where it ends.
std::string generation_config_text(const HfTokenIds& tokens);

/// The text of a config.json for `model`, which came with `source`; `source_text` is its text. Where the model is still what it describes,
/// its text stays as it is, byte for byte, but for the dtype if it names another; dtype empty: that too. Otherwise what training has
/// changed is replaced, the rest kept. Its sliding window stays, whatever the run was told of it. Checked before it is returned: read back,
/// it gives `model`. InputError when no config.json can say what the model is.
std::string hf_config_text(const ModelConfig& model, const JsonDocument& source, const std::string& source_text, const std::string& dtype);

}  // namespace mbt

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
  std::optional<int64_t> bos = {}, eos = {};
  std::optional<int64_t> eod = {};          ///< ends a document, when that differs from the token that ends an answer
  std::optional<int64_t> end_of_turn = {};  ///< of the chat template that the model was trained with
};

/// The text of a config.json for a model that has come from none; weights are stored as `dtype` ("float32", "bfloat16", "float16").
/// Read back, it gives `model`. InputError as hf_family_of.
std::string new_hf_config_text(const ModelConfig& model, const std::string& dtype, const HfTokenIds& tokens);

/// Returns the text of a generation_config.json: the tokens that begin and end generation.
std::string generation_config_text(const HfTokenIds& tokens);
/// The same for a model that has them from a folder: `generation` with those of `tokens` that neither it nor `config`, which counts where
/// it has none, says; byte for byte where nothing is missing. Empty: there is no generation_config.json, in or out.
std::string generation_config_text(const HfTokenIds& tokens, const std::string& generation, const std::string& config);
/// "eos_token_id" of a config: a number or several; none: it is not there, or null. `source`: for messages.
std::vector<int32_t> hf_eos_tokens(const std::string& config, const std::string& source);

/// Returns the text of a config.json for `model`, which was imported with `source`; `source_text` is its text. When `source` still
/// describes the model, the text is kept byte for byte, except for a dtype that differs (an empty `dtype` keeps it too). Otherwise only
/// what training has changed is replaced. The sliding window of `source` is always kept, whatever the run's setting. The result is checked:
/// read back, it gives `model`. Throws InputError when no config.json can describe the model.
std::string hf_config_text(const ModelConfig& model, const JsonDocument& source, const std::string& source_text, const std::string& dtype);

}  // namespace mbt

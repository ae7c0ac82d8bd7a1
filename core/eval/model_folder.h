// Opens a model folder to evaluate or to sample from, and loads its weights onto a device.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/run_config.h"
#include "core/model/weights.h"
#include "core/recipe/policy.h"
#include "core/tokenizer/tokenizer.h"
#include "core/train/checkpoint/checkpoint_reader.h"

namespace mbt {

struct ModelFolderOptions {
  std::string folder;           ///< of a run, of one checkpoint, or of a Hugging Face model
  std::optional<int64_t> step;  ///< of a run: the iteration; the newest, if not given
  std::string tokenizer;        ///< file or folder, or "bytes"; empty: the model's own
  std::string recipe;           ///< how to compute; empty: as it was trained, a Hugging Face model in bf16_mixed
};

struct ModelFolder {
  RunConfig config;
  std::unique_ptr<CheckpointReader> checkpoint;  ///< null: a Hugging Face folder, config.model.hf_path
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<int32_t> end_tokens;     ///< any of them ends a text: the eos of generation_config.json or config.json; of a run or without
                                       ///< those the tokenizer's eos and eod too, and what ended the run's documents and answers
  std::optional<int32_t> end_of_text;  ///< of training data: of a run dataset.eod_token_id, else the tokenizer's
  std::string note;                    ///< a warning to show: why an unexpected checkpoint was chosen
};

/// InputError: no model there, a damaged checkpoint, no tokenizer, or one with more tokens than the model.
ModelFolder open_model_folder(const ModelFolderOptions& options);

/// Loads its weights, ready for forward passes. With a recipe that differs from training only the masters are loaded; scales start fresh.
std::unique_ptr<Weights> load_model(const ModelFolder& model, const PrecisionPolicy& policy, Backend& backend);

}  // namespace mbt

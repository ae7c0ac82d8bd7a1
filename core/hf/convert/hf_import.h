// From a Hugging Face folder to the folder of a run: weights only, at iteration 0.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace mbt {

/// Told after every few megabytes of weights.
using ConversionProgress = std::function<void(int64_t bytes_done, int64_t bytes_in_all)>;

struct HfImport {
  std::string checkpoint;   ///< the checkpoint's folder inside `out`
  std::string config_file;  ///< `out`/run_config.json: the architecture, for --config
  std::string model_type;
  int64_t num_params = 0;  ///< padding rows of the vocabulary included
  int64_t padded_vocab_size = 0, vocab_size = 0;
  std::string tokenizer_problem;          ///< not empty: why the tokenizer in the folder cannot be used
  std::optional<int64_t> sliding_window;  ///< that is shorter than the model's positions, tokens
};

/// Writes the new folder `out`, complete or not at all. Weights keep their values; a parameter stays bf16 when all its tensors are bf16.
/// Other content of the folder is kept too (core/hf/hf_source.h). Memory: one parameter. seq_length: the run's sequence length; nullopt:
/// the model's longest. Throws InputError, before anything is written, for whatever hf_config.h, hf_weights.h and the rules of run configs
/// reject. Throws it also when seq_length exceeds the sliding window, and when `out` exists or cannot be written.
HfImport import_hf(const std::string& folder, const std::string& out, std::optional<int64_t> seq_length,
                   const ConversionProgress& progress);

}  // namespace mbt

// From a checkpoint to a Hugging Face folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/hf/convert/hf_import.h"
#include "core/io/safetensors_header.h"
#include "core/train/checkpoint/checkpoint_reader.h"

namespace mbt {

struct HfExportOptions {
  /// F32, BF16 or F16 for all weights. nullopt: the type in the source folder, or without one that of the run's working weights.
  std::optional<SafetensorsType> dtype;
  int64_t max_shard_size = 5'000'000'000;  ///< bytes of tensors in one file; a larger tensor has a file of its own
};

struct HfExport {
  std::string model_type;
  int64_t num_tensors = 0, num_files = 0, bytes = 0;  ///< of tensors
  bool has_source = false;                            ///< the model has come from a Hugging Face folder
  bool has_tokenizer = false;                         ///< its tokenizer is there too
  std::string chat_note;                              ///< of a run of fine-tuning: what became of its chat template
};

/// "5GB", "500MB", "16KB" (powers of ten), "1GiB" (powers of two) or a number of bytes. InputError: another text, or less than 1.
int64_t parse_shard_size(const std::string& text);

/// Writes the new folder `out`, complete or not at all. Weights are the fp32 masters, rounded to nearest even; the padding of the
/// vocabulary is removed. A model that came from a Hugging Face folder keeps that folder's names, types, copies, buffers, config.json and
/// tokenizer. Any other model gets the config.json of the family that can describe it, and the tokenizer files that transformers needs.
/// After fine-tuning on conversations, generation_config.json and the tokenizer's files have the run's chat template and what ends its
/// turns (exported_chat.h).
/// Memory: one tensor. Throws InputError when no family can describe the model, fp16 cannot hold a value, the checkpoint is damaged, or
/// `out` exists or cannot be written.
HfExport export_hf(const CheckpointReader& checkpoint, const std::string& out, const HfExportOptions& options,
                   const ConversionProgress& progress);

}  // namespace mbt

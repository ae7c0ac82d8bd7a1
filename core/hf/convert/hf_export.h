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
  /// F32, BF16 or F16 for all weights; nullopt: each as its source had it, without a source that of the run's working weights.
  std::optional<SafetensorsType> dtype;
  int64_t max_shard_size = 5'000'000'000;  ///< bytes of tensors in one file; a larger tensor has a file of its own
};

struct HfExport {
  std::string model_type;
  int64_t num_tensors = 0, num_files = 0, bytes = 0;  ///< of tensors
  bool has_source = false;                            ///< the model has come from a Hugging Face folder
  bool has_tokenizer = false;                         ///< its tokenizer is there too
};

/// "5GB", "500MB", "16KB" (powers of ten), "1GiB" (powers of two) or a number of bytes. InputError: another text, or less than 1.
int64_t parse_shard_size(const std::string& text);

/// Writes the new folder `out`: complete or not at all. Weights are the fp32 masters, rounded to nearest even; the vocabulary is without
/// its padding. A model that has come from a Hugging Face folder gets its names, types, copies, buffers, config.json and tokenizer back;
/// another the config.json of the family that describes it, and what transformers needs of the run's tokenizer. Memory: one tensor.
/// InputError: no family does, a value that fp16 cannot hold, a damaged checkpoint, `out` exists or cannot be written.
HfExport export_hf(const CheckpointReader& checkpoint, const std::string& out, const HfExportOptions& options,
                   const ConversionProgress& progress);

}  // namespace mbt

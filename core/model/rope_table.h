// Angles of rotary position embedding.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/config/model_config.h"

namespace mbt {

/// [positions, R] f32, R = even width of the rotated part: row p holds R/2 cosines, then R/2 sines of p * inv_freq.
/// inv_freq[i] = base^(-2i/R) in fp32, angles in fp32, as transformers computes them; with rope_scaling the Llama 3 rule on inv_freq:
/// wavelengths above original/low_freq_factor are divided by factor, below original/high_freq_factor kept, interpolated between.
std::vector<float> rope_table(const ModelConfig& model, int64_t positions);
int64_t rotary_width(const ModelConfig& model);

/// The table in a backend's memory; empty without rotary embedding.
struct RopeMemory {
  Buffer memory;
  ConstTensorView table;  // [positions, R] f32
};
RopeMemory upload_rope_table(Backend& backend, const ModelConfig& model, int64_t positions);

}  // namespace mbt

#include "core/model/rope_table.h"

#include <cmath>

namespace mbt {
namespace {

float llama3_scaled(const ModelConfig& m, float inv_freq) {
  const double original = static_cast<double>(m.rope_original_max_position_embeddings);
  const double low = original / m.rope_low_freq_factor, high = original / m.rope_high_freq_factor;
  const double wavelength = 2.0 * 3.141592653589793 / static_cast<double>(inv_freq);
  if (wavelength < high) return inv_freq;
  if (wavelength > low) return static_cast<float>(inv_freq / m.rope_scaling_factor);
  const double smooth = (original / wavelength - m.rope_low_freq_factor) / (m.rope_high_freq_factor - m.rope_low_freq_factor);
  return static_cast<float>((1.0 - smooth) * inv_freq / m.rope_scaling_factor + smooth * inv_freq);
}

}  // namespace

int64_t rotary_width(const ModelConfig& m) { return static_cast<int64_t>(static_cast<double>(m.head_dim()) * m.rotary_percent) / 2 * 2; }

std::vector<float> rope_table(const ModelConfig& m, int64_t positions) {
  const int64_t width = rotary_width(m), half = width / 2;
  std::vector<float> table(static_cast<size_t>(positions * width));
  for (int64_t i = 0; i < half; ++i) {
    auto inv_freq = static_cast<float>(1.0 / std::pow(m.rotary_base, 2.0 * static_cast<double>(i) / static_cast<double>(width)));
    if (m.rope_scaling) inv_freq = llama3_scaled(m, inv_freq);
    for (int64_t p = 0; p < positions; ++p) {
      const double angle = static_cast<float>(p) * inv_freq;  // rounded to fp32 first, as PyTorch does
      table[static_cast<size_t>(p * width + i)] = static_cast<float>(std::cos(angle));
      table[static_cast<size_t>(p * width + half + i)] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

RopeMemory upload_rope_table(Backend& backend, const ModelConfig& model, int64_t positions) {
  RopeMemory rope;
  if (model.position_embedding_type == PositionEmbedding::rope) {
    const std::vector<float> values = rope_table(model, positions);
    rope.memory = Buffer(backend, values.size() * sizeof(float));
    const TensorView table(rope.memory.data(), DType::f32, {positions, rotary_width(model)});
    backend.upload(values.data(), table);
    rope.table = table;
  }
  return rope;
}

}  // namespace mbt

// Model FLOPs, as Megatron counts them: recomputation is not counted, attention is causal.
#pragma once

#include "core/config/model_config.h"

namespace mbt {

/// Forward and backward of one token, over all layers. q = heads x head width, k = key/value heads x head width, V padded, s = sequence
/// length, f = MLP width.
struct FlopCount {
  double attention_projections;  ///< 6 L (h (q + 2k) + q h)
  double mlp;                    ///< 6 L h f (3 gated or 2)
  double attention_core;         ///< 6 L q s
  double logits;                 ///< 6 h V
  double total() const { return attention_projections + mlp + attention_core + logits; }
};

inline FlopCount count_flops(const ModelConfig& m) {
  const auto layers = static_cast<double>(m.num_layers), h = static_cast<double>(m.hidden_size), f = static_cast<double>(m.ffn());
  const auto q = static_cast<double>(m.num_attention_heads * m.head_dim()), k = static_cast<double>(m.kv_heads() * m.head_dim());
  return {.attention_projections = 6.0 * layers * (h * (q + 2.0 * k) + q * h),
          .mlp = 6.0 * layers * h * f * (m.is_gated() ? 3.0 : 2.0),
          .attention_core = 6.0 * layers * q * static_cast<double>(m.seq_length),
          .logits = 6.0 * h * static_cast<double>(m.padded_vocab_size())};
}

inline double flops_per_token(const ModelConfig& m) { return count_flops(m).total(); }

}  // namespace mbt

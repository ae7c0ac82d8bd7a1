// Model FLOPs, as Megatron counts them: recomputation is not counted, attention is causal.
#pragma once

#include "core/config/model_config.h"

namespace mbt {

/// Forward and backward of one token. Per layer 6 (h (q + 2k) + q h) for the projections, 6 h f (3 gated or 2) for the MLP, 6 q s for
/// the attention core; 6 h V for the logits. q = heads x head width, k = key/value heads x head width, V padded, s = sequence length.
inline double flops_per_token(const ModelConfig& m) {
  const auto h = static_cast<double>(m.hidden_size), q = static_cast<double>(m.num_attention_heads * m.head_dim());
  const auto k = static_cast<double>(m.kv_heads() * m.head_dim()), f = static_cast<double>(m.ffn());
  const double projections = 6.0 * (h * (q + 2.0 * k) + q * h), mlp = 6.0 * h * f * (m.is_gated() ? 3.0 : 2.0);
  const double attention = 6.0 * q * static_cast<double>(m.seq_length);
  return static_cast<double>(m.num_layers) * (projections + mlp + attention) + 6.0 * h * static_cast<double>(m.padded_vocab_size());
}

}  // namespace mbt

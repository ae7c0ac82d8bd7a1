// The extents of one micro-batch's tensors, computed once from the config.
#pragma once

#include "core/config/model_config.h"
#include "core/ops/activation.h"
#include "core/ops/attention.h"
#include "core/ops/norm.h"

namespace mbt {

struct ModelShapes {
  int64_t batch, sequence, tokens;  ///< B, T, N = B*T
  int64_t width;                    ///< C
  int64_t heads, kv_heads, head;    ///< H, K, D
  int64_t qkv, attention;           ///< (H+2K)*D, H*D
  int64_t ffn, fc1;                 ///< F, and F or 2F
  int64_t vocab, padded_vocab;      ///< V, Vp
};

inline ModelShapes shapes_of(const ModelConfig& m, int64_t batch, int64_t sequence) {
  return {.batch = batch,
          .sequence = sequence,
          .tokens = batch * sequence,
          .width = m.hidden_size,
          .heads = m.num_attention_heads,
          .kv_heads = m.kv_heads(),
          .head = m.head_dim(),
          .qkv = m.qkv_width(),
          .attention = m.num_attention_heads * m.head_dim(),
          .ffn = m.ffn(),
          .fc1 = m.is_gated() ? 2 * m.ffn() : m.ffn(),
          .vocab = m.vocab_size,
          .padded_vocab = m.padded_vocab_size()};
}

inline NormKind norm_kind(const ModelConfig& m) {
  return m.normalization == Normalization::layer_norm ? NormKind::layernorm : NormKind::rmsnorm;
}

/// The op's name for model.activation_func.
inline ActivationKind activation_kind(const ModelConfig& m) {
  switch (m.activation_func) {
    case ActivationFunc::swiglu: return ActivationKind::swiglu;
    case ActivationFunc::geglu: return ActivationKind::geglu;
    case ActivationFunc::gelu: return ActivationKind::gelu_tanh;
    case ActivationFunc::gelu_erf: return ActivationKind::gelu_erf;
    case ActivationFunc::silu: return ActivationKind::silu;
    case ActivationFunc::relu: return ActivationKind::relu;
    case ActivationFunc::squared_relu: return ActivationKind::squared_relu;
  }
  throw Error("model.activation_func has no kind");
}

/// Contract: cudnn is refused before (core/config/validate.h).
inline AttentionBackend attention_backend(const ModelConfig& m) {
  switch (m.attention_backend) {
    case AttentionChoice::automatic: return AttentionBackend::automatic;
    case AttentionChoice::flash: return AttentionBackend::flash;
    case AttentionChoice::math: return AttentionBackend::math;
    case AttentionChoice::cudnn: break;
  }
  throw Error(fmt::format("no attention backend named '{}', expected auto, flash or math", name_of(m.attention_backend)));
}

}  // namespace mbt

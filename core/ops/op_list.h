// The list of all op names. A backend's calls, the launchers of the CUDA backend, decorators and the names in errors are made from
// it.
#pragma once

#define MBT_FOR_EACH_OP(X)                            \
  X(embedding_fwd, EmbeddingFwdArgs)                  \
  X(embedding_bwd, EmbeddingBwdArgs)                  \
  X(norm_fwd, NormFwdArgs)                            \
  X(norm_bwd, NormBwdArgs)                            \
  X(qk_norm_fwd, QkNormFwdArgs)                       \
  X(qk_norm_bwd, QkNormBwdArgs)                       \
  X(rope, RopeArgs)                                   \
  X(attention_fwd, AttentionFwdArgs)                  \
  X(attention_bwd, AttentionBwdArgs)                  \
  X(attention_cached, AttentionCachedArgs)            \
  X(activation_fwd, ActivationFwdArgs)                \
  X(activation_bwd, ActivationBwdArgs)                \
  X(cross_entropy, CrossEntropyArgs)                  \
  X(gemm, GemmArgs)                                   \
  X(bias_bwd, BiasBwdArgs)                            \
  X(quantize, QuantizeArgs)                           \
  X(delayed_scaling_update, DelayedScalingUpdateArgs) \
  X(shard_amax, ShardAmaxArgs)                        \
  X(quantize_shard, QuantizeShardArgs)                \
  X(complete_copies, CompleteCopiesArgs)              \
  X(grad_norm, GradNormArgs)                          \
  X(clip_scale, ClipScaleArgs)                        \
  X(decide_step, DecideStepArgs)                      \
  X(adamw, AdamwArgs)                                 \
  X(cast, CastArgs)                                   \
  X(add, AddArgs)                                     \
  X(sum, SumArgs)

namespace mbt {

/// What the op is called that these arguments belong to.
#define MBT_NAME_OP(op, Args) \
  struct Args;                \
  constexpr const char* op_name(const Args&) { return #op; }
MBT_FOR_EACH_OP(MBT_NAME_OP)
#undef MBT_NAME_OP

}  // namespace mbt

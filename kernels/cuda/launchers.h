// launch_<op>: every op of core/ops on the device. The arguments have passed their check(); all their tensors lie on the device. A launcher
// checks what its kernels could not survive (dtypes), chooses a kernel and its shape, and returns without waiting.
#pragma once

#include <cuda_runtime.h>

#include "core/backend/backend.h"
#include "core/ops/activation.h"
#include "core/ops/attention.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/embedding.h"
#include "core/ops/gemm.h"
#include "core/ops/norm.h"
#include "core/ops/optimizer.h"
#include "core/ops/quantize.h"
#include "core/ops/shard_quantize.h"
#include "kernels/cuda/runtime/fault.h"
#include "kernels/cuda/runtime/memory.h"

namespace mbt::cuda {

/// What a launcher uses beside its arguments.
struct LaunchContext {
  cudaStream_t stream;
  Scratch& scratch;
  Fault* fault;         ///< for indices out of range; never null
  int multiprocessors;  ///< of the device: how many blocks fill it
};

// embedding.cu
void launch_embedding_fwd(const EmbeddingFwdArgs& args, const LaunchContext& context);
void launch_embedding_bwd(const EmbeddingBwdArgs& args, const LaunchContext& context);
// norm.cu, norm_bwd.cu
void launch_norm_fwd(const NormFwdArgs& args, const LaunchContext& context);
void launch_norm_bwd(const NormBwdArgs& args, const LaunchContext& context);
// qk_norm.cu
void launch_qk_norm_fwd(const QkNormFwdArgs& args, const LaunchContext& context);
void launch_qk_norm_bwd(const QkNormBwdArgs& args, const LaunchContext& context);
// rope.cu
void launch_rope(const RopeArgs& args, const LaunchContext& context);
// activation.cu
void launch_activation_fwd(const ActivationFwdArgs& args, const LaunchContext& context);
void launch_activation_bwd(const ActivationBwdArgs& args, const LaunchContext& context);
// attention.cu
/// Which way runs when `wanted` is asked for, before there are tensors.
AttentionSupport attention_path(AttentionBackend wanted, const AttentionShape& shape);
void launch_attention_fwd(const AttentionFwdArgs& args, const LaunchContext& context);
void launch_attention_bwd(const AttentionBwdArgs& args, const LaunchContext& context);
/// On the tensor cores (attention_flash_fwd.cu, _bwd.cu): head widths 64 and 128 in bf16 and f16, tensors aligned to 16 bytes, scale > 0.
/// `most_sequences`: of a launch, a grid's second extent. `shared_bytes`: what a block of this device may have at most; with less than
/// 130 KiB head width 128 works in smaller tiles.
void launch_attention_flash_fwd(const AttentionFwdArgs& args, const LaunchContext& context, int64_t most_sequences = 65535);
void launch_attention_flash_bwd(const AttentionBwdArgs& args, const LaunchContext& context, size_t shared_bytes);
void launch_attention_cached(const AttentionCachedArgs& args, const LaunchContext& context);
// cross_entropy.cu
void launch_cross_entropy(const CrossEntropyArgs& args, const LaunchContext& context);
// quantize.cu; its kernels: quantize_tensor.cu, quantize_blocks.cu, quantize_nvfp4.cu
void launch_quantize(const QuantizeArgs& args, const LaunchContext& context);
void launch_delayed_scaling_update(const DelayedScalingUpdateArgs& args, const LaunchContext& context);
// shard_quantize.cu
void launch_shard_amax(const ShardAmaxArgs& args, const LaunchContext& context);
void launch_quantize_shard(const QuantizeShardArgs& args, const LaunchContext& context);
void launch_complete_copies(const CompleteCopiesArgs& args, const LaunchContext& context);
// quantize_decode.cu
/// The copy's values as the GEMM multiplies them, logical [rows, cols] order: bf16 out (exact: codes with their power-of-two and E4M3 block
/// scales; per-tensor factors go into the GEMM's alpha).
void launch_decode(const QuantTensorView& q, bool columnwise, TensorView out, const LaunchContext& context);
// optimizer.cu
void launch_grad_norm(const GradNormArgs& args, const LaunchContext& context);
void launch_clip_scale(const ClipScaleArgs& args, const LaunchContext& context);
void launch_decide_step(const DecideStepArgs& args, const LaunchContext& context);
void launch_adamw(const AdamwArgs& args, const LaunchContext& context);
void launch_sum(const SumArgs& args, const LaunchContext& context);
// elementwise.cu
void launch_cast(const CastArgs& args, const LaunchContext& context);
void launch_add(const AddArgs& args, const LaunchContext& context);
void launch_bias_bwd(const BiasBwdArgs& args, const LaunchContext& context);

}  // namespace mbt::cuda

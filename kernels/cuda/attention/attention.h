// The two ways to compute attention on the device, as the host sees them; attention.cu chooses.
#pragma once

#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// Returns the path that runs when `wanted` is requested, before tensors exist.
AttentionSupport attention_path(AttentionBackend wanted, const AttentionShape& shape);

/// On the tensor cores (attention_flash_fwd.cu, _bwd.cu): head widths 64 and 128 in bf16 and f16, tensors aligned to 16 bytes, scale > 0.
/// `most_sequences`: of a launch, a grid's second extent. `shared_bytes`: what a block of this device may have at most; with less than
/// 130 KiB head width 128 works in smaller tiles.
void launch_attention_flash_fwd(const AttentionFwdArgs& args, const LaunchContext& context, int64_t most_sequences = 65535);
void launch_attention_flash_bwd(const AttentionBwdArgs& args, const LaunchContext& context, size_t shared_bytes);

/// Any head width and activation dtype (attention_general.cu).
void launch_attention_general_fwd(const AttentionFwdArgs& args, const LaunchContext& context);
void launch_attention_general_bwd(const AttentionBwdArgs& args, const LaunchContext& context);

}  // namespace mbt::cuda

// Causal attention (contract: core/ops/attention.h): which of its kernels runs.
#include "kernels/cuda/attention_paths.h"

namespace mbt::cuda {

void launch_attention_fwd(const AttentionFwdArgs& args, const LaunchContext& context) { launch_attention_general_fwd(args, context); }
void launch_attention_bwd(const AttentionBwdArgs& args, const LaunchContext& context) { launch_attention_general_bwd(args, context); }

}  // namespace mbt::cuda

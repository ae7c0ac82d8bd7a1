// RMSNorm and LayerNorm with the residual addition in front; contracts in core/ops/norm.h.
#pragma once

#include "core/ops/norm.h"
#include "kernels/cpu/level.h"
#include "kernels/cpu/loops/chunks.h"

/// norm_bwd's `partials`: 2 * kMaxRowChunks * columns floats.
MBT_LEVELS(void norm_fwd(const NormFwdArgs& args); void norm_bwd(const NormBwdArgs& args, float* partials);)

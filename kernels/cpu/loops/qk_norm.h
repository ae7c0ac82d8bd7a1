// RMSNorm of each query and key head; contracts in core/ops/norm.h.
#pragma once

#include "core/ops/norm.h"
#include "kernels/cpu/level.h"
#include "kernels/cpu/loops/chunks.h"

/// qk_norm_bwd's `partials`: 2 * kMaxRowChunks * D floats.
MBT_LEVELS(void qk_norm_fwd(const QkNormFwdArgs& args); void qk_norm_bwd(const QkNormBwdArgs& args, float* partials);)

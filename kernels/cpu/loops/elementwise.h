// Casts, sums of two tensors, bias gradients; contracts in core/ops/optimizer.h and core/ops/gemm.h.
#pragma once

#include "core/ops/gemm.h"
#include "core/ops/optimizer.h"
#include "kernels/cpu/level.h"
#include "kernels/cpu/loops/chunks.h"

/// bias_bwd's `partials`: kMaxRowChunks * columns doubles.
MBT_LEVELS(void cast(const CastArgs& args); void add(const AddArgs& args); void bias_bwd(const BiasBwdArgs& args, double* partials);)

// AdamW and the sums of the optimizer step; contracts in core/ops/optimizer.h.
#pragma once

#include "core/ops/optimizer.h"
#include "kernels/cpu/level.h"
#include "kernels/cpu/loops/chunks.h"

/// The sums' `partials`: ceil(n / kFlatChunk) doubles.
MBT_LEVELS(void grad_norm(const GradNormArgs& args, double* partials); void sum(const SumArgs& args, double* partials);
           void adamw(const AdamwArgs& args);)

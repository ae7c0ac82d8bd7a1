// Checks of the optimizer's ops: AdamW, the gradient norm, clipping, and the decision whether a step counts.
#pragma once

#include "core/selftest/check.h"

namespace mbt::selftest {

/// Moments of these dtypes; `param`: the dtype of the working weights.
Checks adamw_checks(DType param, DType exp_avg, DType exp_avg_sq);
/// Gradient norm, clipping, loss-scale checks, the loss sum.
Checks step_checks();

}  // namespace mbt::selftest

// Checks of quantization: codes, scales and amaxes bit for bit against the element-by-element rules, fused outputs against separate ones.
#pragma once

#include "core/recipe/policy.h"
#include "core/selftest/check.h"

namespace mbt::selftest {

/// What the tensors of such linear layers need: each spec from `act`, weights from f32 masters and slice by slice, ops that write codes.
Checks quantization_checks(const LinearPrecision& precision, DType act);
/// The history and scales of delayed scaling.
Checks delayed_scaling_checks();

}  // namespace mbt::selftest

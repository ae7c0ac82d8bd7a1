// Checks of matrix products: every role on plain and quantized operands, against the values that operands stand for, multiplied in double.
#pragma once

#include "core/recipe/policy.h"
#include "core/selftest/check.h"

namespace mbt::selftest {

/// fprop, dgrad and wgrad as a linear layer of this precision calls them, with sizes of whole tiles and odd ones; plain where it is not
/// quantized.
Checks product_checks(const LinearPrecision& precision, DType act);

/// "tensorwise-e4m3", "nvfp4-e2m1-2d-stochastic": a spec as part of a check's name.
std::string slug_of(const QuantSpec& spec);

}  // namespace mbt::selftest

#pragma once

#include "core/config/run_config.h"

namespace mbt::test {

/// Of a loss, relative: what sums in another order change in a few steps. Quantized codes may then differ where a value lies at the edge of
/// two, which a 16-bit run does not amplify further in so short a time.
inline double loss_tolerance(const RunConfig& c) { return c.model.bf16 || c.model.fp16 ? 2e-3 : 2e-6; }

}  // namespace mbt::test

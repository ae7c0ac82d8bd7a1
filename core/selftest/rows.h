// Checks of ops on rows: norms, activations, cross entropy, embeddings, bias gradients, sums and casts.
#pragma once

#include <vector>

#include "core/selftest/check.h"

namespace mbt::selftest {

Checks norm_checks(DType act, const std::vector<NormKind>& kinds, bool has_qk_norm);
Checks activation_checks(DType act, const std::vector<ActivationKind>& kinds);
/// Embedding, cross entropy, bias gradients, sums, casts.
Checks row_checks(DType act);

}  // namespace mbt::selftest

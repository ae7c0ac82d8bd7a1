// Checks of attention: forward and backward, each way, with documents, shared key heads and all head widths, against double.
#pragma once

#include <vector>

#include "core/selftest/check.h"

namespace mbt::selftest {

/// Heads as a model has them; the check takes two key/value heads of them at most.
struct HeadShape {
  int64_t width, group;  ///< group: query heads to a key/value head
  bool operator==(const HeadShape&) const = default;
};

/// By each of `ways`.
Checks attention_checks(DType act, const std::vector<HeadShape>& heads, const std::vector<AttentionBackend>& ways);
/// Generation with a key/value cache, and rotary position embedding.
Checks position_checks(DType act);

}  // namespace mbt::selftest

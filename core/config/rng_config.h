// Section "rng": seeds.
#pragma once

#include "core/base/fields.h"

namespace mbt {

struct RngConfig {
  int64_t seed = 1234;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.seed,
      FieldInfo{.name = "seed", .doc = "Seed of initial weights, data order and stochastic rounding", .min = 0, .max = 9007199254740991.0});
  }
};

}  // namespace mbt

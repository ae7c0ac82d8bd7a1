// The formats of 8 bits, for tests that are to cover one that is added.
#pragma once

#include <iterator>
#include <vector>

#include "core/numerics/quant_format.h"

namespace mbt::test {

inline std::vector<QuantFormat> fp8_formats() {
  std::vector<QuantFormat> formats;
  for (size_t i = 0; i < std::size(kQuantFormats); ++i)
    if (is_fp8(static_cast<QuantFormat>(i))) formats.push_back(static_cast<QuantFormat>(i));
  return formats;
}

}  // namespace mbt::test

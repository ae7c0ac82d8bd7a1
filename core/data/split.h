// dataset.split: contiguous shares of the data for training, validation and test.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/data/dataset.h"

namespace mbt {

/// [begin, begin + size) of the data, in tokens or in samples.
struct SplitRange {
  int64_t begin = 0, size = 0;
};

/// Weights such as "9,1,0" or "969, 30, 1"; one to three numbers, those left out are 0. InputError when they are no such numbers.
std::array<double, 3> parse_split(const std::string& split);

/// Ranges of [0, total) in proportion to the weights, in the order of `Split`.
std::array<SplitRange, 3> split_ranges(const std::array<double, 3>& weights, int64_t total);

}  // namespace mbt

// Whole examples into rows of a fixed length.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mbt {

/// Rows of items, one after the other.
struct Packing {
  std::vector<int32_t> items;     ///< row by row
  std::vector<int64_t> first{0};  ///< [rows + 1], where a row begins in `items`
  int64_t rows() const { return static_cast<int64_t>(first.size()) - 1; }
};

/// Packs items in order; an item that no longer fits begins the next row. lengths: 1 to capacity; items of length 0 are left out.
Packing pack_sequentially(std::span<const int32_t> lengths, int64_t capacity);
/// Each item into the first row that has room for it. O(n log n).
Packing pack_first_fit(std::span<const int32_t> lengths, int64_t capacity);

}  // namespace mbt

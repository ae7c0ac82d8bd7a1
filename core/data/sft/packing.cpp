#include "core/data/sft/packing.h"

#include <algorithm>
#include <bit>

#include "core/base/error.h"

namespace mbt {
namespace {

/// Room of each row in a tree of maxima, so that the first row with enough of it is found by going down.
class RowRooms {
 public:
  RowRooms(size_t rows, int64_t capacity)
      : leaves_(std::bit_ceil(std::max<size_t>(rows, 1))), room_(2 * leaves_, static_cast<int32_t>(capacity)) {}

  size_t take(int32_t length) {
    size_t node = 1;
    while (node < leaves_) node = room_[2 * node] >= length ? 2 * node : 2 * node + 1;
    room_[node] -= length;
    for (size_t parent = node / 2; parent > 0; parent /= 2) room_[parent] = std::max(room_[2 * parent], room_[2 * parent + 1]);
    return node - leaves_;
  }

 private:
  size_t leaves_;
  std::vector<int32_t> room_;
};

void check_length(int32_t length, int64_t capacity) {
  MBT_CHECK(length >= 0 && length <= capacity, "an item of {} in rows of {}", length, capacity);
}

}  // namespace

Packing pack_sequentially(std::span<const int32_t> lengths, int64_t capacity) {
  Packing packing;
  int64_t used = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    check_length(lengths[i], capacity);
    if (lengths[i] == 0) continue;
    if (used + lengths[i] > capacity) {
      packing.first.push_back(static_cast<int64_t>(packing.items.size()));
      used = 0;
    }
    packing.items.push_back(static_cast<int32_t>(i));
    used += lengths[i];
  }
  if (used > 0) packing.first.push_back(static_cast<int64_t>(packing.items.size()));
  return packing;
}

Packing pack_first_fit(std::span<const int32_t> lengths, int64_t capacity) {
  RowRooms rooms(lengths.size(), capacity);
  std::vector<size_t> row(lengths.size());
  Packing packing;
  for (size_t i = 0; i < lengths.size(); ++i) {
    check_length(lengths[i], capacity);
    if (lengths[i] == 0) continue;
    row[i] = rooms.take(lengths[i]);
    packing.first.resize(std::max(packing.first.size(), row[i] + 2));
    ++packing.first[row[i] + 1];
  }
  for (size_t r = 1; r < packing.first.size(); ++r) packing.first[r] += packing.first[r - 1];
  packing.items.resize(static_cast<size_t>(packing.first.back()));
  std::vector<int64_t> next(packing.first.begin(), packing.first.end() - 1);
  for (size_t i = 0; i < lengths.size(); ++i)
    if (lengths[i] > 0) packing.items[static_cast<size_t>(next[row[i]]++)] = static_cast<int32_t>(i);
  return packing;
}

}  // namespace mbt

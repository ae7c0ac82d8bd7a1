// Gathers small values and texts from all ranks.
#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/comm/world.h"

namespace mbt {

template <class T>
std::vector<T> gather_values(World& world, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<T> all(static_cast<size_t>(world.ranks()));
  world.all_gather(&mine, sizeof(T), all.data());
  return all;
}

std::vector<std::string> gather_texts(World& world, const std::string& mine);

/// Runs `phase`, which must not communicate, on every rank. When it throws on any rank, all ranks throw an AgreedError with the message,
/// and with the ranks unless it was the same on all.
void agree(World& world, const std::function<void()>& phase);

/// Returns the text of rank `root` on all ranks.
std::string broadcast_text(World& world, std::string text, int root = 0);

}  // namespace mbt

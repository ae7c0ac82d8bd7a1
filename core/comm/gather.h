// Small things of all ranks: values and texts, by rank.
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

/// Runs what makes no exchanges on every rank. Where it throws on any of them, all throw an AgreedError: what was wrong, and on which ranks
/// unless it was the same on all.
void agree(World& world, const std::function<void()>& phase);

/// What one rank gave, on all of them.
std::string broadcast_text(World& world, std::string text, int root = 0);

}  // namespace mbt

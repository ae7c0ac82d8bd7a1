#include "core/comm/gather.h"

#include <algorithm>

namespace mbt {

std::vector<std::string> gather_texts(World& world, const std::string& mine) {
  const std::vector<uint64_t> sizes = gather_values<uint64_t>(world, mine.size());
  const size_t longest = *std::max_element(sizes.begin(), sizes.end());  // exchanges have one size for all ranks
  std::string padded = mine, all(longest * sizes.size(), '\0');
  padded.resize(longest);
  if (longest > 0) world.all_gather(padded.data(), longest, all.data());
  std::vector<std::string> texts;
  for (size_t r = 0; r < sizes.size(); ++r) texts.push_back(all.substr(r * longest, sizes[r]));
  return texts;
}

std::string broadcast_text(World& world, std::string text, int root) {
  uint64_t size = text.size();
  world.broadcast(&size, sizeof size, root);
  text.resize(size);
  if (size > 0) world.broadcast(text.data(), size, root);
  return text;
}

}  // namespace mbt

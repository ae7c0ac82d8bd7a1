#include "core/comm/gather.h"

#include <algorithm>
#include <exception>

#include "core/base/error.h"

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

void agree(World& world, const std::function<void()>& phase) {
  if (world.ranks() == 1) return phase();
  std::string mine;
  int32_t code = 0;
  try {
    phase();
  } catch (const AgreedError& e) {
    mine = e.what(), code = e.exit_code;
  } catch (const InputError& e) {
    mine = e.what(), code = 2;
  } catch (const std::bad_alloc&) {
    mine = "out of memory", code = 1;
  } catch (const std::exception& e) {
    mine = e.what(), code = 1;
  }
  const std::vector<int32_t> codes = gather_values(world, code);
  const int32_t worst = *std::max_element(codes.begin(), codes.end());
  if (worst == 0) return;
  const std::vector<std::string> texts = gather_texts(world, mine);
  const std::vector<std::string> hosts = gather_texts(world, world.place().host);
  const bool is_same = std::all_of(texts.begin(), texts.end(), [&](const std::string& t) { return t == texts[0]; });
  if (is_same) throw AgreedError(texts[0], worst);
  constexpr size_t kShown = 4;
  std::string what;
  size_t failed = 0;
  for (size_t r = 0; r < texts.size(); ++r) {
    if (codes[r] == 0 || ++failed > kShown) continue;
    what += fmt::format("{}rank {} of {} on {}: {}", failed > 1 ? "\n" : "", r, world.ranks(), hosts[r], texts[r]);
  }
  if (failed > kShown) what += fmt::format("\nand {} more ranks", failed - kShown);
  throw AgreedError(what, worst);
}

std::string broadcast_text(World& world, std::string text, int root) {
  uint64_t size = text.size();
  world.broadcast(&size, sizeof size, root);
  text.resize(size);
  if (size > 0) world.broadcast(text.data(), size, root);
  return text;
}

}  // namespace mbt

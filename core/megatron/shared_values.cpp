#include "core/megatron/shared_values.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/base/strings.h"

namespace mbt {

bool has_megatron_checkpoint(const std::string& folder) {
  return std::filesystem::exists(std::filesystem::path(folder) / "latest_checkpointed_iteration.txt");
}

std::optional<int64_t> window_of(std::string_view text) {
  std::string plain(text);
  std::replace_if(
      plain.begin(), plain.end(), [](char c) { return c == '(' || c == ')' || c == '[' || c == ']' || c == ','; }, ' ');
  std::vector<int64_t> ends;
  for (const std::string& word : split(plain, ' ')) {
    if (word.empty()) continue;
    ends.push_back(0);
    if (parse_integer(word, ends.back()) != ParseResult::ok) return std::nullopt;
  }
  const bool is_causal = ends.size() == 2 && (ends[1] == 0 || ends[1] == -1);
  return is_causal && ends[0] >= -1 ? std::optional(ends[0]) : std::nullopt;
}

}  // namespace mbt

#include "core/base/two_columns.h"

#include <algorithm>

#include "core/base/strings.h"

namespace mbt {

std::string two_columns(const std::vector<std::pair<std::string, std::string>>& rows, size_t width) {
  constexpr size_t kIndent = 2, kGap = 2, kLeastText = 20;
  const size_t most = width / 3;
  size_t column = 0;
  for (const auto& [name, text] : rows)
    if (name.size() <= most) column = std::max(column, name.size());
  const size_t begin = kIndent + column + kGap, text_width = std::max(kLeastText, width - std::min(width, begin));
  std::string lines;
  for (const auto& [name, text] : rows) {
    lines += std::string(kIndent, ' ') + name;
    if (!text.empty()) {
      lines += name.size() > column ? "\n" + std::string(begin, ' ') : std::string(column - name.size() + kGap, ' ');
      lines += wrapped(text, text_width, begin);
    }
    lines += "\n";
  }
  return lines;
}

}  // namespace mbt

#include "core/base/nearest.h"

#include <algorithm>
#include <cctype>

namespace mbt {
namespace {

std::string folded(std::string_view word) {
  std::string result(word);
  for (char& c : result) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

}  // namespace

int edit_distance(std::string_view left, std::string_view right) {
  const std::string a = folded(left), b = folded(right);
  const size_t width = b.size() + 1;
  // cost[i][j]: from the first i letters of a to the first j of b (optimal string alignment)
  std::vector<int> cost((a.size() + 1) * width);
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j) {
      int& best = cost[i * width + j];
      if (i == 0 || j == 0) {
        best = static_cast<int>(i + j);
        continue;
      }
      best = cost[(i - 1) * width + j - 1] + (a[i - 1] != b[j - 1]);
      best = std::min({best, cost[(i - 1) * width + j] + 1, cost[i * width + j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) best = std::min(best, cost[(i - 2) * width + j - 2] + 1);
    }
  return cost.back();
}

std::string nearest(std::string_view word, const std::vector<std::string>& names) {
  constexpr size_t kLongestName = 100;  // a longer word is no misspelt name, and the distance costs its length
  if (word.size() > kLongestName) return "";
  std::string best;
  int least = std::max(1, static_cast<int>(word.size()) / 3) + 1;
  for (const std::string& name : names) {
    const int distance = edit_distance(word, name);
    if (distance >= least) continue;
    least = distance;
    best = name;
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& names) {
  const std::string name = nearest(word, names);
  return name.empty() ? "" : "; did you mean \"" + name + "\"?";
}

}  // namespace mbt

#include "core/data/split.h"

#include <charconv>
#include <cmath>
#include <string_view>

#include "core/base/error.h"

namespace mbt {

std::array<double, 3> parse_split(const std::string& split) {
  std::array<double, 3> weights{};
  const auto refuse = [&] {
    throw InputError(
        fmt::format("dataset.split '{}': expected up to three weights from 0 on, for training, validation and test, such as 9,1,0", split));
  };
  std::string_view rest = split;
  double sum = 0;
  for (size_t i = 0;; ++i) {
    const std::string_view item = rest.substr(0, rest.find(','));
    const size_t first = item.find_first_not_of(' '), last = item.find_last_not_of(' ');
    if (i == 3 || first == std::string_view::npos) refuse();
    const auto [end, error] = std::from_chars(item.data() + first, item.data() + last + 1, weights[i]);
    if (error != std::errc() || end != item.data() + last + 1 || !std::isfinite(weights[i]) || weights[i] < 0) refuse();
    sum += weights[i];
    if (item.size() == rest.size()) break;
    rest.remove_prefix(item.size() + 1);
  }
  if (!(sum > 0 && std::isfinite(sum))) refuse();
  return weights;
}

std::array<SplitRange, 3> split_ranges(const std::array<double, 3>& weights, int64_t total) {
  std::array<SplitRange, 3> ranges;
  const double sum = weights[0] + weights[1] + weights[2];
  double before = 0;
  int64_t begin = 0;
  for (size_t i = 0; i < 3; ++i) {
    before += weights[i];
    const int64_t end = before >= sum ? total : static_cast<int64_t>(std::llround(before / sum * static_cast<double>(total)));
    ranges[i] = {begin, end - begin};
    begin = end;
  }
  return ranges;
}

}  // namespace mbt

// Where a text that comes piece by piece ends: at the first of several texts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

class StopTexts {
 public:
  /// None of them empty.
  explicit StopTexts(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Returns what comes before a stop for sure: what may be the beginning of one waits for the next piece. The stop that is complete first
  /// counts, of several the longest; after it nothing comes.
  std::string add(std::string_view piece);
  /// What still waits, which is no stop when the text ends.
  std::string rest();
  /// The stop that came.
  const std::optional<std::string>& came() const { return came_; }

 private:
  const std::string* complete() const;
  size_t possible_begin() const;

  std::vector<std::string> stops_;
  std::string waiting_;
  std::optional<std::string> came_;
};

}  // namespace mbt

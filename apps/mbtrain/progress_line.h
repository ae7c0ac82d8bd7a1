// Progress on stderr. On a terminal it is one line that is overwritten; elsewhere (and where TERM is dumb), on request, a new line every
// few seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mbt {

class ProgressLine {
 public:
  /// always: overwrites the line even when stderr is not a terminal.
  enum class Where : uint8_t { nowhere, terminal, always };

  /// seconds_elsewhere: seconds between lines when stderr is not a terminal; 0: no lines.
  explicit ProgressLine(Where where = Where::terminal, int seconds_elsewhere = 0);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  /// Returns whether it is time for a new text: five times a second on a terminal.
  bool is_due();
  void show(const std::string& text);
  /// Removes the text. Call it before other output.
  void clear();
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

 private:
  using Clock = std::chrono::steady_clock;

  bool is_in_place_, is_visible_ = false;
  std::chrono::milliseconds pause_;  ///< between texts; 0: no texts at all
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
};

/// "[=====>    ]", for a share from 0 to 1.
std::string progress_bar(double share);
/// "2m05s left", "1h03m left".
std::string time_left(double seconds);

}  // namespace mbt

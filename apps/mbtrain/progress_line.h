// A line on stderr that is written over while work goes on, where somebody looks: on a terminal. Elsewhere, if asked for, a line now and
// then.
#pragma once

#include <chrono>
#include <string>

namespace mbt {

class ProgressLine {
 public:
  /// seconds_elsewhere: between lines where there is no terminal; 0: none there.
  explicit ProgressLine(bool is_quiet = false, int seconds_elsewhere = 0);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  /// Time for a new text: five times a second on a terminal.
  bool is_due();
  void show(const std::string& text);
  void clear();
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

 private:
  using Clock = std::chrono::steady_clock;

  bool is_terminal_, is_visible_ = false;
  std::chrono::milliseconds pause_;  ///< between texts; 0: never one
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
};

}  // namespace mbt

// One line on stderr that is written over while work goes on, on a terminal. Elsewhere, if asked for, a line now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mbt {

class ProgressLine {
 public:
  /// always: written over also where stderr is no terminal.
  enum class Where : uint8_t { nowhere, terminal, always };

  /// seconds_elsewhere: between lines where there is no terminal; 0: none there.
  explicit ProgressLine(Where where = Where::terminal, int seconds_elsewhere = 0);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  /// Time for a new text: five times a second where it is written over.
  bool is_due();
  void show(const std::string& text);
  /// Takes the text away, before other output.
  void clear();
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

 private:
  using Clock = std::chrono::steady_clock;

  bool is_in_place_, is_visible_ = false;
  std::chrono::milliseconds pause_;  ///< between texts; 0: never one
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
};

/// "[=====>    ]", for a share from 0 to 1.
std::string progress_bar(double share);
/// "2m05s left", "1h03m left".
std::string time_left(double seconds);

}  // namespace mbt

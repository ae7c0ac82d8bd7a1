// SIGINT and SIGTERM during work that shuts down cleanly: training saves a checkpoint, other work removes unfinished files.
#pragma once

#include <atomic>

namespace mbt {

/// While an object lives, the first signal sets came(), which the work checks between its steps. From then on, and after the object has
/// gone, that signal does what it did before: a second one ends the program at once.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  static const std::atomic<bool>& came();
  /// The number of the signal that came first; 0: none has.
  static int which();
};

/// "SIGINT"; "a signal" for one that this program knows nothing of. Safe in a handler.
const char* name_of_signal(int signal);

}  // namespace mbt

// SIGINT and SIGTERM during work that shuts down cleanly: training saves a checkpoint, other work removes unfinished files.
#pragma once

#include <atomic>

namespace mbt {

/// While an object lives, the first signal sets came(), which the work checks between its steps. A second signal ends the program at once.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  static const std::atomic<bool>& came();
};

}  // namespace mbt

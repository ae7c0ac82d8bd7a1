// SIGINT and SIGTERM during work that ends in order: training saves a checkpoint, other work takes away what is half written.
#pragma once

#include <atomic>

namespace mbt {

/// While one lives, the first signal sets came(), which the work looks at between its steps, and a second one ends the program at once.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  static const std::atomic<bool>& came();
};

}  // namespace mbt

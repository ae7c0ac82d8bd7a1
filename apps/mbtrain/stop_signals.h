// SIGINT and SIGTERM during work that writes files: it ends in order, and takes away what is half written.
#pragma once

#include <atomic>

namespace mbt {

/// While one lives, the first signal sets came() and a second ends the program at once.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  static const std::atomic<bool>& came();
};

}  // namespace mbt

// What becomes of the device when one rank of several fails.
#pragma once

#include <exception>

namespace mbt::cuda {

/// While ranks are connected, work on the device may wait for a rank that will never come. Whatever then waits for the device or frees its
/// memory waits too, and so may ncclCommAbort (for its own proxy thread: NCCL issues 863, 1777). So an error while ranks are connected
/// tears nothing down: destructors that would touch the device ask is_abandoned() and leave everything to the end of the process, the error
/// is told at once, and World::abort() ends all ranks. One connection at a time, and one thread.
class PeerWork {
 public:
  static void connected() { exceptions_ = std::uncaught_exceptions(), is_connected_ = true; }
  static void disconnected() { is_connected_ = false; }
  /// For good: an error has left the connection.
  static void abandon() { is_connected_ = false, is_abandoned_ = true; }
  /// Also while an exception passes through that may end the run: what is caught on the way (a refused recording) leaks what it unwinds.
  static bool is_abandoned() { return is_abandoned_ || (is_connected_ && std::uncaught_exceptions() > exceptions_); }

 private:
  static inline bool is_connected_ = false, is_abandoned_ = false;
  static inline int exceptions_ = 0;
};

}  // namespace mbt::cuda

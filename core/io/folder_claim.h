// A folder that one process at a time may write into.
#pragma once

#include <chrono>
#include <string>

namespace mbt {

/// Locks an existing folder until the object or the process ends, also by kill -9; nothing is written. On a file system that cannot lock
/// folders the lock is always given.
class FolderClaim {
 public:
  /// Waits for at most `patience`, since a process that was killed needs time to end, while another one holds the lock.
  FolderClaim(const std::string& folder, std::chrono::milliseconds patience);
  FolderClaim(const FolderClaim&) = delete;
  FolderClaim& operator=(const FolderClaim&) = delete;
  ~FolderClaim();

  /// Another process holds it, so this object does not.
  bool is_refused() const { return is_refused_; }

 private:
  int fd_ = -1;
  bool is_refused_ = false;
};

}  // namespace mbt

// Which kernels a test launched.
#pragma once

#include <map>
#include <string>
#include <utility>

namespace mbt::emulation {

/// Counts launches by the kernel's name while it lives; the last one made counts.
class LaunchLog {
 public:
  LaunchLog() : before_(std::exchange(current(), this)) {}
  LaunchLog(const LaunchLog&) = delete;
  LaunchLog& operator=(const LaunchLog&) = delete;
  ~LaunchLog() { current() = before_; }

  int count(const std::string& kernel) const {
    const auto found = counts_.find(kernel);
    return found == counts_.end() ? 0 : found->second;
  }
  void clear() { counts_.clear(); }

  static void note(const std::string& kernel) {
    if (current() != nullptr) ++current()->counts_[kernel];
  }

 private:
  static LaunchLog*& current() {
    static LaunchLog* log = nullptr;
    return log;
  }
  LaunchLog* before_;
  std::map<std::string, int> counts_;
};

}  // namespace mbt::emulation

// Detects that a rank on the same host has died. Some launchers do not end the other ranks, and MPI may wait for the dead rank forever.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace mbt::mpi {

/// Names a process for the others of its host.
struct ProcessName {
  int64_t pid = 0;
  uint64_t pid_namespace = 0;  ///< numbers of other namespaces mean nothing here
  char host[64] = {};
};
ProcessName own_process_name(const std::string& host);

class PeerWatch {
 public:
  /// processes: by rank. on_gone(rank, pid) is called once, from the watching thread.
  PeerWatch(std::vector<ProcessName> processes, int own_rank, std::function<void(int rank, int64_t pid)> on_gone);
  ~PeerWatch();

 private:
  void watch();

  std::vector<std::pair<int, int64_t>> peers_;  // rank, pid
  std::function<void(int, int64_t)> on_gone_;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

}  // namespace mbt::mpi

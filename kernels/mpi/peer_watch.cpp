#include "kernels/mpi/peer_watch.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

namespace mbt::mpi {
namespace {

/// Gone, or dead and not yet waited for by its parent.
bool is_gone(int64_t pid) {
  if (kill(static_cast<pid_t>(pid), 0) != 0) return errno == ESRCH;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const size_t name_end = stat.rfind(')');  // "pid (name) state ..."; the name may hold anything
  return name_end != std::string::npos && name_end + 2 < stat.size() && stat[name_end + 2] == 'Z';
}

}  // namespace

ProcessName own_process_name(const std::string& host) {
  ProcessName name;
  name.pid = getpid();
  struct stat info {};
  if (stat("/proc/self/ns/pid", &info) == 0) name.pid_namespace = info.st_ino;
  std::strncpy(name.host, host.c_str(), sizeof name.host - 1);
  return name;
}

PeerWatch::PeerWatch(std::vector<ProcessName> processes, int own_rank, std::function<void(int, int64_t)> on_gone)
    : on_gone_(std::move(on_gone)) {
  const ProcessName& own = processes[static_cast<size_t>(own_rank)];
  for (size_t r = 0; r < processes.size(); ++r) {
    const ProcessName& p = processes[r];
    const bool is_near = std::strcmp(p.host, own.host) == 0 && p.pid_namespace == own.pid_namespace && own.pid_namespace != 0;
    if (is_near && static_cast<int>(r) != own_rank) peers_.emplace_back(static_cast<int>(r), p.pid);
  }
  if (!peers_.empty()) thread_ = std::thread([this] { watch(); });
}

PeerWatch::~PeerWatch() {
  ends_ = true;
  if (thread_.joinable()) thread_.join();
}

void PeerWatch::watch() {
  constexpr auto kStep = std::chrono::milliseconds(50);
  constexpr int kStepsBetweenLooks = 10;
  for (int step = 0; !ends_; ++step) {
    std::this_thread::sleep_for(kStep);
    if (step % kStepsBetweenLooks != 0) continue;
    for (const auto& [rank, pid] : peers_)
      if (is_gone(pid)) return ends_ ? void() : on_gone_(rank, pid);
  }
}

}  // namespace mbt::mpi

// The one thread that calls MPI: jobs run in the order in which they were given.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace mbt::mpi {

class MpiThread {
 public:
  MpiThread() : thread_([this] { loop(); }) {}
  /// After all jobs.
  ~MpiThread();
  MpiThread(const MpiThread&) = delete;
  MpiThread& operator=(const MpiThread&) = delete;

  void post(std::function<void()> job);
  /// Runs `job` in its turn and returns when it is done; what it throws is thrown here. From a job: at once.
  void run(const std::function<void()>& job);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::function<void()>> jobs_;
  bool ends_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace mbt::mpi

#include "kernels/mpi/mpi_thread.h"

#include <exception>
#include <future>

namespace mbt::mpi {

MpiThread::~MpiThread() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  has_work_.notify_one();
  thread_.join();
}

void MpiThread::post(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  has_work_.notify_one();
}

void MpiThread::run(const std::function<void()>& job) {
  if (std::this_thread::get_id() == thread_.get_id()) return job();
  std::promise<void> done;
  post([&] {
    try {
      job();
      done.set_value();
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  done.get_future().get();
}

void MpiThread::loop() {
  for (;;) {
    std::unique_lock lock(mutex_);
    has_work_.wait(lock, [&] { return ends_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
  }
}

}  // namespace mbt::mpi

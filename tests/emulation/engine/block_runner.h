// Runs one block of a launch: its threads as fibers, its barriers, its warps.
//
// Threads start in order on one fiber and follow each other there until one waits; only then is a second fiber taken. A kernel without
// barriers therefore never switches. Threads that may go on do so before others start, in the order of the pass. Lanes that have met in a
// warp operation queue behind the others in the ascending pass, so that the block's warps stay side by side; in the descending one they go
// on at once, so that a warp runs as far ahead of the others as barriers let it. A thread that waits switches to the next one itself; the
// host's stack is entered when a block has ended, or can go on no more.
#pragma once

#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulation/engine/device.h"
#include "tests/emulation/engine/fiber.h"

namespace mbt::emulation {

/// One launch of a kernel. `body` calls the kernel with its arguments, once for each thread.
struct Launch {
  std::string name;
  dim3 grid, block;
  size_t shared_bytes = 0;
  std::function<void()> body;
};

/// What differs between the runs of one launch.
struct Pass {
  unsigned char poison = 0xFF;  ///< fills shared memory before each block, and the targets of asynchronous copies in flight
  bool descending = false;      ///< order of blocks, and of threads wherever more than one may run; warps run ahead of each other
  bool late_copies = false;     ///< asynchronous copies read their source when they are waited for, not when they are issued
};

/// A copy that cp.async has begun.
struct AsyncCopy {
  char* target;
  const char* source;
  size_t bytes, valid_bytes;
  char early[16];  // what the source held at the call
};

struct Thread {
  enum class Status : uint8_t { unstarted, running, ready, at_barrier, at_warp_operation, ended };
  uint3 index{};
  Status status = Status::unstarted;
  Fiber* fiber = nullptr;
  // While it waits: in which call, where, with what.
  const char* call = "";
  Site site;
  uint32_t mask = 0;
  void* data = nullptr;
  BarrierResult barrier;
  std::vector<AsyncCopy> copies;         // not yet performed, oldest first
  std::vector<size_t> committed_copies;  // sizes of the committed groups, oldest first
};

class BlockRunner {
 public:
  /// Runs the block. Throws what a thread threw, or Error when threads wait for each other for ever; the runner is usable afterwards.
  void run(const Launch& launch, uint3 block_index, const Pass& pass, char* shared);

  // For the running thread (device.h).
  BarrierResult block_barrier(bool predicate, const char* call, Site site);
  void warp_collective(uint32_t mask, void* data, WarpFinish finish, const char* call, Site site);
  [[noreturn]] void fail(int thread, Site site, const std::string& what) const;
  int running() const { return running_; }
  Thread& running_thread() { return threads_[running_]; }
  const Launch& launch() const { return *launch_; }
  const Pass& pass() const { return *pass_; }
  char* shared() const { return shared_; }

 private:
  /// Lanes of a warp that wait for each other in one operation.
  struct WarpGroup {
    uint32_t mask, arrived;
    Site site;
  };
  struct Warp {
    uint32_t lanes = 0, ended = 0;  // that exist, that have ended
    std::vector<WarpGroup> groups;
  };

  void reset(uint3 block_index);
  void set_here(int thread);
  int in_order(int n) const { return pass_->descending ? static_cast<int>(threads_.size()) - 1 - n : n; }
  void run_fiber();
  void run_thread(int thread);
  void go_on();
  void enter(Fiber* fiber);
  void enter_thread(int thread);
  void suspend(Thread::Status status, const char* call, Site site);
  void wake(int thread);
  void wake_lanes(int warp, const Lanes& lanes);
  void release_barrier();
  void abandon();
  void check_lanes(const Warp& warp, uint32_t mask, const char* call, Site site) const;
  std::string describe(int thread) const;
  [[noreturn]] void fail_stalled() const;
  void fail_stalled_group(int warp, const WarpGroup& group) const;

  const Launch* launch_ = nullptr;
  const Pass* pass_ = nullptr;
  char* shared_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::deque<int> ready_;
  std::vector<Fiber*> idle_;
  Fiber* const host_ = new Fiber;
  Fiber* fiber_ = host_;  // the running one
  int fibers_ = 0, running_ = 0, started_ = 0, ended_ = 0, at_barrier_ = 0, barrier_count_ = 0;
  int first_at_barrier_ = 0;
  std::exception_ptr failure_;
};

/// The one runner: device.h's functions are about the block that runs now.
BlockRunner& block_runner();

}  // namespace mbt::emulation

#include "tests/emulation/engine/block_runner.h"

#include <bit>
#include <cstdio>
#include <string_view>
#include <utility>

#include "core/base/error.h"

namespace mbt::emulation {
namespace {

/// Unwinds the frames of a thread whose launch has failed elsewhere.
struct Abandoned {};

std::string coordinates(uint3 v) { return fmt::format("({},{},{})", v.x, v.y, v.z); }
std::string place(Site site) { return fmt::format("{}:{}", site.file, site.line); }
std::string hex(uint32_t mask) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "0x%08x", mask);
  return buffer;
}

}  // namespace

BlockRunner& block_runner() {
  static BlockRunner& runner = *new BlockRunner;  // never destroyed: see Fiber
  return runner;
}

// -- scheduling --------------------------------------------------------------------------------------------------------------------------

void BlockRunner::run(const Launch& launch, uint3 block_index, const Pass& pass, char* shared) {
  launch_ = &launch;
  pass_ = &pass;
  shared_ = shared;
  reset(block_index);
  go_on();
  if (failure_ == nullptr && ended_ < static_cast<int>(threads_.size())) {
    try {
      fail_stalled();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }
  if (failure_ == nullptr) return;
  abandon();
  std::rethrow_exception(std::exchange(failure_, nullptr));
}

void BlockRunner::reset(uint3 block_index) {
  here.block_index = block_index;
  here.block_size = launch_->block;
  here.grid_size = launch_->grid;
  const dim3 size = launch_->block;
  const size_t count = size_t{size.x} * size.y * size.z;
  threads_.resize(count);
  size_t number = 0;
  for (unsigned z = 0; z < size.z; ++z) {
    for (unsigned y = 0; y < size.y; ++y) {
      for (unsigned x = 0; x < size.x; ++x) {
        Thread& thread = threads_[number++];
        thread.index = {x, y, z};
        thread.status = Thread::Status::unstarted;
        thread.copies.clear();
        thread.committed_copies.clear();
      }
    }
  }
  warps_.resize((count + 31) / 32);
  for (size_t warp = 0; warp < warps_.size(); ++warp) {
    const size_t lanes = std::min<size_t>(32, count - warp * 32);
    warps_[warp].lanes = lanes == 32 ? ~0U : (1U << lanes) - 1;
    warps_[warp].ended = 0;
    warps_[warp].groups.clear();
  }
  ready_.clear();
  started_ = ended_ = at_barrier_ = barrier_count_ = 0;
}

/// Leaves the running fiber for whatever comes next: a thread that may go on, threads to start, or the host when there is neither.
void BlockRunner::go_on() {
  if (failure_ == nullptr && !ready_.empty()) {
    const int next = ready_.front();
    ready_.pop_front();
    return enter_thread(next);
  }
  if (failure_ != nullptr || started_ == static_cast<int>(threads_.size())) return enter(host_);
  if (idle_.empty()) idle_.push_back(new Fiber([this] { run_fiber(); }, fibers_++));
  Fiber* const fiber = idle_.back();
  idle_.pop_back();
  enter(fiber);
}

void BlockRunner::enter(Fiber* fiber) {
  Fiber* const from = std::exchange(fiber_, fiber);
  if (fiber != from) fiber->enter_from(*from);
}

void BlockRunner::enter_thread(int thread) {
  set_here(thread);
  threads_[thread].status = Thread::Status::running;
  enter(threads_[thread].fiber);
}

/// The body of every fiber: starts threads one after another, until one that waited may go on.
void BlockRunner::run_fiber() {
  const int count = static_cast<int>(threads_.size());
  while (started_ < count && ready_.empty() && failure_ == nullptr) run_thread(in_order(started_++));
  idle_.push_back(fiber_);
  go_on();
}

void BlockRunner::run_thread(int number) {
  set_here(number);
  threads_[number].status = Thread::Status::running;
  threads_[number].fiber = fiber_;
  const auto foreign = [&](const char* what) {  // the engine's own errors say all this already
    return std::make_exception_ptr(Error(fmt::format("kernel '{}', block {}, thread {}: {}", launch_->name, coordinates(here.block_index),
                                                     coordinates(threads_[number].index), what)));
  };
  try {
    launch_->body();
  } catch (const Abandoned&) {
  } catch (const std::exception& error) {
    failure_ = std::string_view(error.what()).starts_with("kernel '") ? std::current_exception() : foreign(error.what());
  } catch (...) {
    failure_ = foreign("an exception of an unknown type");
  }
  threads_[number].status = Thread::Status::ended;
  warps_[number / 32].ended |= 1U << (number % 32);
  ++ended_;
}

void BlockRunner::set_here(int thread) {
  running_ = thread;
  here.thread_index = threads_[thread].index;
  here.lane = static_cast<unsigned>(thread) % 32;
}

void BlockRunner::suspend(Thread::Status status, const char* call, Site site) {
  Thread& thread = running_thread();
  thread.status = status;
  thread.call = call;
  thread.site = site;
  go_on();
  if (failure_ != nullptr) throw Abandoned{};
}

void BlockRunner::wake(int thread) {
  threads_[thread].status = Thread::Status::ready;
  ready_.push_back(thread);
}

/// Queues lanes that have met: behind all other threads, or, where warps run ahead, before them.
void BlockRunner::wake_lanes(int warp, const Lanes& lanes) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!lanes.has(lane)) continue;
    const int thread = warp * 32 + lane;
    threads_[thread].status = Thread::Status::ready;
    if (pass_->descending) ready_.push_front(thread);  // the last lane comes to lie first
    else ready_.push_back(thread);
  }
}

/// Lets every thread that waits unwind its frames, so that no fiber and no destructor is lost.
void BlockRunner::abandon() {
  for (size_t thread = 0; thread < threads_.size(); ++thread) {
    const Thread::Status status = threads_[thread].status;
    if (status != Thread::Status::unstarted && status != Thread::Status::ended) enter_thread(static_cast<int>(thread));
  }
}

// -- waiting -----------------------------------------------------------------------------------------------------------------------------

BarrierResult BlockRunner::block_barrier(bool predicate, const char* call, Site site) {
  const int self = running_;
  if (at_barrier_ == 0) {
    first_at_barrier_ = self;
  } else if (const Thread& first = threads_[first_at_barrier_]; !(first.site == site)) {
    fail(self, site, fmt::format("{} in divergent code: thread {} {}", call, coordinates(first.index), describe(first_at_barrier_)));
  }
  ++at_barrier_;
  barrier_count_ += predicate ? 1 : 0;
  const bool last = at_barrier_ == static_cast<int>(threads_.size());
  if (last) release_barrier();
  suspend(last ? Thread::Status::ready : Thread::Status::at_barrier, call, site);
  return threads_[self].barrier;
}

/// The last thread queues behind the others: each part between two barriers runs in the order of the pass.
void BlockRunner::release_barrier() {
  const int count = static_cast<int>(threads_.size());
  for (int n = 0; n < count; ++n) {
    threads_[in_order(n)].barrier = {barrier_count_, count};
    wake(in_order(n));
  }
  at_barrier_ = barrier_count_ = 0;
}

void BlockRunner::warp_collective(uint32_t mask, void* data, WarpFinish finish, const char* call, Site site) {
  const int self = running_, first = self / 32 * 32;
  Warp& warp = warps_[self / 32];
  check_lanes(warp, mask, call, site);
  Thread& thread = threads_[self];
  thread.mask = mask;
  thread.data = data;
  size_t g = 0;
  while (g < warp.groups.size() && !(warp.groups[g].mask == mask && warp.groups[g].site == site)) ++g;
  if (g == warp.groups.size()) warp.groups.push_back({mask, 0, site});
  warp.groups[g].arrived |= 1U << here.lane;
  if (warp.groups[g].arrived != mask) return suspend(Thread::Status::at_warp_operation, call, site);

  warp.groups.erase(warp.groups.begin() + static_cast<std::ptrdiff_t>(g));
  Lanes lanes{mask, {}};
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1)
    lanes.data[std::countr_zero(rest)] = threads_[first + std::countr_zero(rest)].data;
  thread.call = call;
  thread.site = site;
  if (finish != nullptr) finish(lanes);
  wake_lanes(self / 32, lanes);
  suspend(Thread::Status::ready, call, site);
}

void BlockRunner::check_lanes(const Warp& warp, uint32_t mask, const char* call, Site site) const {
  if ((mask >> here.lane & 1) == 0) {
    fail(running_, site, fmt::format("{}: the mask {} does not name the calling lane {}", call, hex(mask), here.lane));
  }
  if ((mask & ~warp.lanes) != 0) {
    fail(running_, site,
         fmt::format("{}: the mask {} names lane {}, which the block's last warp does not have", call, hex(mask),
                     std::countr_zero(mask & ~warp.lanes)));
  }
  if ((mask & warp.ended) != 0) {
    fail(running_, site,
         fmt::format("{}: the mask {} names lane {}, which has ended", call, hex(mask), std::countr_zero(mask & warp.ended)));
  }
}

// -- what went wrong ---------------------------------------------------------------------------------------------------------------------

void BlockRunner::fail(int thread, Site site, const std::string& what) const {
  throw Error(fmt::format("kernel '{}', block {}, thread {}, {}: {}", launch_->name, coordinates(here.block_index),
                          coordinates(threads_[thread].index), place(site), what));
}

std::string BlockRunner::describe(int number) const {
  const Thread& thread = threads_[number];
  switch (thread.status) {
    case Thread::Status::ended: return "has ended";
    case Thread::Status::at_warp_operation:
      return fmt::format("waits in {} with the mask {} at {}", thread.call, hex(thread.mask), place(thread.site));
    default: return fmt::format("waits in {} at {}", thread.call, place(thread.site));
  }
}

/// Nobody can go on: says who waits for whom. A warp's trouble comes first, since the barrier's may follow from it.
void BlockRunner::fail_stalled() const {
  for (size_t warp = 0; warp < warps_.size(); ++warp) {
    for (const WarpGroup& group : warps_[warp].groups) fail_stalled_group(static_cast<int>(warp), group);
  }
  const Thread& waiting = threads_[first_at_barrier_];
  for (size_t other = 0; other < threads_.size(); ++other) {
    if (threads_[other].status == Thread::Status::at_barrier) continue;
    fail(
        first_at_barrier_, waiting.site,
        fmt::format("{} in divergent code: {} of the block's {} threads never come; thread {} {}", waiting.call,
                    threads_.size() - at_barrier_, threads_.size(), coordinates(threads_[other].index), describe(static_cast<int>(other))));
  }
  fail(first_at_barrier_, waiting.site, "the block waits for ever");
}

void BlockRunner::fail_stalled_group(int warp, const WarpGroup& group) const {
  const int waiting = warp * 32 + std::countr_zero(group.arrived), missing = std::countr_zero(group.mask & ~group.arrived);
  const Thread& thread = threads_[waiting];
  fail(waiting, group.site,
       fmt::format("{} would hang: the mask {} names lane {}, which {}", thread.call, hex(group.mask), missing,
                   describe(warp * 32 + missing)));
}

}  // namespace mbt::emulation

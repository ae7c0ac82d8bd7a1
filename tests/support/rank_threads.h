// Ranks as threads of this process: a World for tests of what ranks do together.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/comm/world.h"

namespace mbt::test {

/// What the threads of one run share.
class RankRoom {
 public:
  explicit RankRoom(int ranks) : given_(static_cast<size_t>(ranks)) {}
  int ranks() const { return static_cast<int>(given_.size()); }

  /// All have given their pointer before `read` runs on any, and all have read before any returns. Throws Error when a rank has ended.
  template <class Read>
  void exchange(int rank, const void* mine, Read read) {
    given_[static_cast<size_t>(rank)] = mine;
    meet();
    read(given_);
    meet();
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    someone_left_ = true;
    changed_.notify_all();
  }

 private:
  void meet() {
    std::unique_lock lock(mutex_);
    const int64_t generation = generation_;
    if (++arrived_ == ranks()) {
      arrived_ = 0;
      ++generation_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return generation_ != generation || someone_left_; });
    if (generation_ == generation) throw Error("another rank has ended");
  }

  std::vector<const void*> given_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  int64_t generation_ = 0;
  bool someone_left_ = false;
};

class RankThread final : public World {
 public:
  RankThread(RankRoom& room, int rank) : room_(room), place_{rank, room.ranks(), rank, room.ranks(), "thread"} {}

  const RankPlace& place() const override { return place_; }
  std::string name() const override { return "threads"; }
  void all_gather(const void* mine, size_t bytes, void* all) override {
    const std::string kept(static_cast<const char*>(mine), bytes);  // `mine` may lie inside `all`
    room_.exchange(rank(), kept.data(), [&](const std::vector<const void*>& given) {
      for (size_t r = 0; r < given.size(); ++r) std::memcpy(static_cast<char*>(all) + r * bytes, given[r], bytes);
    });
  }
  void all_to_all(const void* const* send, void* const* receive, size_t bytes) override {
    room_.exchange(rank(), send, [&](const std::vector<const void*>& given) {
      for (size_t r = 0; r < given.size(); ++r)
        if (static_cast<int>(r) != rank()) std::memcpy(receive[r], static_cast<const void* const*>(given[r])[rank()], bytes);
    });
  }
  void broadcast(void* data, size_t bytes, int root) override {
    room_.exchange(rank(), data, [&](const std::vector<const void*>& given) {
      if (rank() != root) std::memcpy(data, given[static_cast<size_t>(root)], bytes);
    });
  }
  void post(std::function<void()> job) override { job(); }
  [[noreturn]] void abort(int exit_code) noexcept override { std::_Exit(exit_code); }

 private:
  RankRoom& room_;
  RankPlace place_;
};

/// Runs `job` on every rank. What the ranks threw, by rank; empty: nothing.
inline std::vector<std::string> run_ranks(int ranks, const std::function<void(World&)>& job) {
  RankRoom room(ranks);
  std::vector<std::string> thrown(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      RankThread world(room, r);
      try {
        job(world);
      } catch (const std::exception& e) {
        thrown[static_cast<size_t>(r)] = e.what();
      }
      room.leave();
    });
  }
  for (std::thread& t : threads) t.join();
  return thrown;
}

}  // namespace mbt::test

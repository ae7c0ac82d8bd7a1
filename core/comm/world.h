// The processes of one run, called ranks, and their communication through host memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

namespace mbt {

/// Which of the ranks this one is.
struct RankPlace {
  int rank = 0;
  int ranks = 1;
  int local_rank = 0;  ///< among the ranks of the same host
  int local_ranks = 1;
  std::string host;  ///< name of the host; empty: there is one rank

  /// "rank 3 of 8 on node17"; for messages.
  std::string str() const { return "rank " + std::to_string(rank) + " of " + std::to_string(ranks) + (host.empty() ? "" : " on " + host); }
};

/// Each exchange waits for all ranks. Every rank must make the same exchanges in the same order, with the same sizes. Exchanges only copy
/// bytes; they do no arithmetic.
class World {
 public:
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  virtual ~World() = default;

  virtual const RankPlace& place() const = 0;
  /// What carries the exchanges: "Open MPI 4.1.4"; for the log.
  virtual std::string name() const = 0;
  int rank() const { return place().rank; }
  int ranks() const { return place().ranks; }
  bool is_first() const { return rank() == 0; }

  /// all[r * bytes, ...) = what rank r gave.
  virtual void all_gather(const void* mine, size_t bytes, void* all) = 0;
  /// receive[r] = send[this rank] of rank r, `bytes` each. The entries of this rank itself are not used.
  virtual void all_to_all(const void* const* send, void* const* receive, size_t bytes) = 0;
  virtual void broadcast(void* data, size_t bytes, int root) = 0;
  /// Waits until every rank has called it.
  void barrier() {
    char mine = 0;
    std::string all(static_cast<size_t>(ranks()), '\0');
    all_gather(&mine, 1, all.data());
  }

  /// Runs `job`, which may make exchanges, after all jobs posted before it: on a separate thread, or at once. `job` must not throw.
  virtual void post(std::function<void()> job) = 0;
  /// Ends every rank of the run, this one included, as soon as the launcher can. For errors that the other ranks do not know about.
  [[noreturn]] virtual void abort(int exit_code) noexcept = 0;

  /// A function that abort() calls first, perhaps on another thread; {}: none. Of the last words of this rank, where abort() comes from
  /// within, since another rank has died.
  void set_on_abort(std::function<void(int exit_code)> on_abort) {
    const std::lock_guard lock(mutex_);
    on_abort_ = std::move(on_abort);
  }

 protected:
  void say_last_words(int exit_code) noexcept try {
    const std::lock_guard lock(mutex_);
    if (on_abort_) std::exchange(on_abort_, {})(exit_code);
  } catch (...) {  // the process ends all the same
  }

 private:
  std::mutex mutex_;
  std::function<void(int)> on_abort_;
};

/// One rank: exchanges are copies.
class SingleWorld final : public World {
 public:
  const RankPlace& place() const override { return place_; }
  std::string name() const override { return "one rank"; }
  void all_gather(const void* mine, size_t bytes, void* all) override {
    if (mine != all) std::memcpy(all, mine, bytes);
  }
  void all_to_all(const void* const*, void* const*, size_t) override {}
  void broadcast(void*, size_t, int) override {}
  void post(std::function<void()> job) override { job(); }
  [[noreturn]] void abort(int exit_code) noexcept override { std::_Exit(exit_code); }

 private:
  RankPlace place_;
};

}  // namespace mbt

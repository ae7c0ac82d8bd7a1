// A World whose ranks share memory: threads of one process (thread_world.h), or processes that one has forked (process_world.h).
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/comm/world.h"

namespace mbt::test {

/// Memory that all ranks see: a box for each, and a place to meet. Made before the ranks are.
class Board {
 public:
  explicit Board(int ranks) : ranks_(ranks), bytes_(kHeader + static_cast<size_t>(ranks) * kBox) {
    MBT_CHECK(ranks >= 1 && ranks <= kMostRanks, "{} ranks", ranks);
    void* const memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw Error("no shared memory for ranks");
    header_ = new (memory) Header;
  }
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;
  ~Board() { munmap(header_, bytes_); }

  static constexpr size_t kBox = size_t{1} << 20;  ///< bytes
  int ranks() const { return ranks_; }
  char* box(int rank) const { return reinterpret_cast<char*>(header_) + kHeader + static_cast<size_t>(rank) * kBox; }

  /// Returns when all ranks have come. Throws Error when one has ended and so will not come.
  void meet() {
    const int generation = header_->generation.load();
    if (header_->arrived.fetch_add(1) + 1 == ranks_) {
      header_->arrived = 0;
      header_->generation.fetch_add(1);
      return;
    }
    for (int asked = 0; header_->generation.load() == generation; ++asked) {
      for (int r = 0; r < ranks_; ++r)
        if (header_->has_ended[r].load() && header_->generation.load() == generation)
          throw Error(fmt::format("rank {} of {} has ended", r, ranks_));
      if (asked < 100) std::this_thread::yield();
      else std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  /// This rank meets nobody any more.
  void leave(int rank) { header_->has_ended[rank] = true; }

 private:
  static constexpr int kMostRanks = 16;
  static constexpr size_t kHeader = 4096;
  struct Header {
    std::atomic<int> arrived{0}, generation{0};
    std::atomic<bool> has_ended[kMostRanks]{};
  };
  static_assert(sizeof(Header) <= kHeader && std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

  int ranks_;
  size_t bytes_;
  Header* header_ = nullptr;
};

/// The boards of one World: what is posted exchanges beside what its rank does meanwhile.
struct Boards {
  explicit Boards(int ranks) : own(ranks), posted(ranks) {}
  void leave(int rank) { own.leave(rank), posted.leave(rank); }
  Board own, posted;
};

class BoardWorld final : public World {
 public:
  BoardWorld(Boards& boards, int rank) : boards_(boards), place_{rank, boards.own.ranks(), rank, boards.own.ranks(), "board"} {}
  /// Waits for what was posted.
  ~BoardWorld() override {
    if (!worker_.joinable()) return;
    post({});
    worker_.join();
  }

  const RankPlace& place() const override { return place_; }
  std::string name() const override { return "shared memory"; }

  void all_gather(const void* mine, size_t bytes, void* all) override {
    in_pieces(bytes, Board::kBox, [&](Board& board, size_t first, size_t count) {
      std::memcpy(board.box(rank()), static_cast<const char*>(mine) + first, count);
      board.meet();
      for (int r = 0; r < ranks(); ++r) std::memcpy(static_cast<char*>(all) + static_cast<size_t>(r) * bytes + first, board.box(r), count);
      board.meet();
    });
  }
  void all_to_all(const void* const* send, void* const* receive, size_t bytes) override {
    const size_t place = Board::kBox / static_cast<size_t>(ranks());  // in a box, for each rank
    in_pieces(bytes, place, [&](Board& board, size_t first, size_t count) {
      for (int r = 0; r < ranks(); ++r)
        if (r != rank()) std::memcpy(board.box(rank()) + static_cast<size_t>(r) * place, static_cast<const char*>(send[r]) + first, count);
      board.meet();
      for (int r = 0; r < ranks(); ++r)
        if (r != rank()) std::memcpy(static_cast<char*>(receive[r]) + first, board.box(r) + static_cast<size_t>(rank()) * place, count);
      board.meet();
    });
  }
  void broadcast(void* data, size_t bytes, int root) override {
    in_pieces(bytes, Board::kBox, [&](Board& board, size_t first, size_t count) {
      char* const mine = static_cast<char*>(data) + first;
      if (rank() == root) std::memcpy(board.box(root), mine, count);
      board.meet();
      if (rank() != root) std::memcpy(mine, board.box(root), count);
      board.meet();
    });
  }

  void post(std::function<void()> job) override {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (!worker_.joinable()) worker_ = std::thread([this] { work(); });
    posted_.notify_one();
  }
  [[noreturn]] void abort(int exit_code) noexcept override { std::_Exit(exit_code); }

 private:
  template <class Exchange>
  void in_pieces(size_t bytes, size_t most, Exchange exchange) {
    Board& board = std::this_thread::get_id() == worker_id_.load() ? boards_.posted : boards_.own;
    for (size_t first = 0; first < bytes; first += most) exchange(board, first, std::min(most, bytes - first));
  }
  void work() {
    worker_id_ = std::this_thread::get_id();
    for (;;) {
      std::unique_lock lock(mutex_);
      posted_.wait(lock, [&] { return !jobs_.empty(); });
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      if (!job) return;  // the destructor's
      job();
    }
  }

  Boards& boards_;
  RankPlace place_;
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> jobs_;
  std::thread worker_;
  std::atomic<std::thread::id> worker_id_{};
};

}  // namespace mbt::test

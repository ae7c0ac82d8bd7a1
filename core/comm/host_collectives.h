// Collectives on tensors in host memory, over any World.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

#include "core/comm/collectives.h"
#include "core/comm/world.h"

namespace mbt {

/// The backend's ops are done when they return, so a call finds its input ready; calls run on the world's own thread where it has one.
/// Scratch: at most 1 MiB for each other rank.
class HostCollectives final : public Collectives {
 public:
  /// Returns the most scratch bytes of one rank: one chunk per rank, and their sum.
  static size_t scratch_bytes(int ranks) { return ranks == 1 ? 0 : static_cast<size_t>((ranks + 1) * kChunk) * sizeof(float); }

  /// `world` must outlive it.
  explicit HostCollectives(World& world) : world_(world) {}
  /// Waits for all calls.
  ~HostCollectives() override;

  std::string name() const override { return world_.name(); }
  int rank() const override { return world_.rank(); }
  int ranks() const override { return world_.ranks(); }
  void wait(Ticket ticket) override;

 protected:
  Ticket do_reduce_scatter(const ReduceScatterArgs& args) override;
  Ticket do_all_gather(const AllGatherArgs& args) override;
  Ticket do_all_reduce(const AllReduceArgs& args) override;

 private:
  static constexpr int64_t kChunk = 1 << 18;  // elements that are exchanged and added at a time

  Ticket post(std::function<void()> call);
  void run_reduce_scatter(const ReduceScatterArgs& args);
  void run_all_gather(const AllGatherArgs& args);
  void run_all_reduce(const AllReduceArgs& args);

  World& world_;
  std::vector<char> scratch_;  // of the calls, which run one at a time
  std::mutex mutex_;
  std::condition_variable finished_;
  Ticket posted_ = 0, done_ = 0;
  std::exception_ptr failure_;  // of the first call that failed; those after it are not run
};

}  // namespace mbt

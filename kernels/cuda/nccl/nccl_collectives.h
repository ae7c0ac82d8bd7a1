// Collectives on a GPU's memory, over NCCL.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <string>
#include <vector>

#include "core/comm/collectives.h"
#include "core/comm/world.h"
#include "kernels/cuda/runtime/abandoned.h"
#include "kernels/cuda/runtime/graph.h"
#include "kernels/cuda/runtime/host_wait.h"

struct ncclComm;

namespace mbt::cuda {

/// What collectives take from their backend, and what they leave with it while they live.
struct CollectiveSite {
  cudaStream_t compute;   ///< the stream of the backend's ops
  HostWait& wait;         ///< gets a check: that no rank is gone
  size_t& scratch_bytes;  ///< gets the size of the scratch
};

/// Work in a stream of its own: a call's begins when the ops that the compute stream was given before are done, and wait() makes the
/// compute stream wait. Sums:
///   reduce_scatter  NCCL's, which adds as it does, in 16 bits for 16-bit types; then times factor, rounded again. with_f32_sums on 16-bit
///                   types: the pieces are exchanged as they are and added here, in f32 in the order of ranks, rounded once.
///   all_reduce      all parts are gathered and added here in the order of ranks, so that all ranks get the same bits: for small tensors.
/// When a rank has died, the next call or wait() on the other ranks, or the next wait of their backend, throws Error. What is on the GPU
/// then stays there until the process ends (runtime/abandoned.h): ncclCommAbort, which would end it, may itself wait for other ranks. Use
/// it only from the backend's thread, and never while ops are recorded.
class NcclCollectives final : public Collectives {
 public:
  static constexpr size_t kScratchBytes = size_t{32} << 20;

  /// Every rank of `world` at the same time, with its GPU selected. `world` and what `site` refers to must outlive it. scratch_bytes: taken
  /// now; larger calls go through it piece by piece. Throws AgreedError (exit code 2) where a rank cannot load NCCL.
  NcclCollectives(World& world, const CollectiveSite& site, size_t scratch_bytes = kScratchBytes);
  /// Waits for all calls. During exception unwinding, and after an error of its own, it leaves them, because other ranks may never make
  /// them.
  ~NcclCollectives() override;

  std::string name() const override;
  int rank() const override { return place_.rank; }
  int ranks() const override { return place_.ranks; }
  void wait(Ticket ticket) override;

 protected:
  Ticket do_reduce_scatter(const ReduceScatterArgs& args) override;
  Ticket do_all_gather(const AllGatherArgs& args) override;
  Ticket do_all_reduce(const AllReduceArgs& args) override;

 private:
  void connect(World& world);
  /// `enqueue` gives its work to stream_.
  Ticket post(const char* call, const std::function<void()>& enqueue);
  void add_in_f32(const ReduceScatterArgs& args);
  void combine(const AllReduceArgs& args);
  /// Elements [first, first + count) of each other rank's piece of `all` go to it; what rank r sends comes to row r of the scratch, rows
  /// being chunk_of(dtype) elements apart.
  void exchange(const ConstTensorView& all, int64_t piece, int64_t first, int64_t count);
  int64_t chunk_of(DType dtype) const;  // elements of each rank that the scratch holds at a time

  void refuse_while_recording(const char* call) const;
  void check_peers();
  /// Throws unless `status` (an ncclResult_t) is success.
  void check_call(int status, const char* call);
  [[noreturn]] void fail(int status, const std::string& call);

  RankPlace place_;
  CollectiveSite site_;
  Stream stream_;
  size_t scratch_bytes_;
  void* scratch_ = nullptr;
  ncclComm* comm_ = nullptr;
  std::string failure_;  // what went wrong with other ranks
  cudaEvent_t ready_ = nullptr;
  std::vector<cudaEvent_t> done_;  // of ticket t: done_[t % size]
  Ticket posted_ = 0, waited_ = 0;
};

}  // namespace mbt::cuda

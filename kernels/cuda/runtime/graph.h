// Recorded work: a CUDA graph and what it was made under.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <string>

#include "core/backend/backend.h"
#include "kernels/cuda/runtime/abandoned.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

/// Owns a stream.
class Stream {
 public:
  /// Of kernels that wait, those of the stream with the lowest priority number start first.
  explicit Stream(int priority = 0) {
    check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority), "creating a CUDA stream");
  }
  ~Stream() {
    if (!PeerWork::is_abandoned()) static_cast<void>(cudaStreamDestroy(stream_));
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// The state of a Recording: first nothing but that its ops have run once, so that scratch, GEMM plans and kernel attributes exist; then an
/// executable graph, or a refusal.
class Graph final : public Recording::State {
 public:
  /// generation: of the scratch memory whose address the recorded kernels will hold.
  explicit Graph(uint64_t generation) : generation_(generation) {}
  ~Graph() override;

  uint64_t generation() const { return generation_; }
  bool is_tried() const { return is_tried_; }
  bool is_executable() const { return executable_ != nullptr; }
  /// Captures what `ops` gives to `stream`, and makes it executable. Returns why that failed, or ""; the stream is as before either way,
  /// and nothing has run.
  std::string record(cudaStream_t stream, const std::function<void()>& ops);
  void launch(cudaStream_t stream);

 private:
  uint64_t generation_;
  bool is_tried_ = false;
  cudaGraphExec_t executable_ = nullptr;
  cudaStream_t stream_ = nullptr;  // of the last launch
};

}  // namespace mbt::cuda

// Host memory that uploads go through.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>

#include "kernels/cuda/runtime/abandoned.h"
#include "kernels/cuda/runtime/host_wait.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

/// Two slots of pinned memory, used in turn: the host fills one while the device copies from the other. Pageable memory would make the host
/// wait for the stream. A slot is filled again only after its copy has ended, so the host runs at most two uploads ahead of the device.
class Staging {
 public:
  /// `wait` must outlive it.
  explicit Staging(const HostWait& wait) : wait_(wait) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    if (PeerWork::is_abandoned()) return;
    for (Slot& s : slots_) {
      if (s.copied == nullptr) continue;
      static_cast<void>(cudaEventSynchronize(s.copied));
      static_cast<void>(cudaEventDestroy(s.copied));
      if (s.data != nullptr) static_cast<void>(cudaFreeHost(s.data));
    }
  }

  /// The next slot, of at least `bytes`, to be filled. Waits for the copy that used it last.
  void* next(size_t bytes) {
    current_ = 1 - current_;
    Slot& s = slots_[current_];
    if (s.copied == nullptr)
      check(cudaEventCreateWithFlags(&s.copied, cudaEventDisableTiming | cudaEventBlockingSync), "an event for uploads");
    wait_.event(s.copied, "waiting for an earlier upload");
    if (s.bytes < bytes) grow(s, bytes);
    return s.data;
  }
  /// Copies the first `bytes` of the slot of the last next() to the device.
  void submit(void* device, size_t bytes, cudaStream_t stream) {
    const Slot& s = slots_[current_];
    check(cudaMemcpyAsync(device, s.data, bytes, cudaMemcpyHostToDevice, stream), "upload");
    check(cudaEventRecord(s.copied, stream), "upload");
  }
  /// Any number of bytes, piece by piece.
  void upload(const void* host, void* device, size_t bytes, cudaStream_t stream) {
    constexpr size_t kPiece = size_t{4} << 20;
    for (size_t first = 0; first < bytes; first += kPiece) {
      const size_t size = std::min(kPiece, bytes - first);
      std::memcpy(next(size), static_cast<const char*>(host) + first, size);
      submit(static_cast<char*>(device) + first, size, stream);
    }
  }

 private:
  struct Slot {
    void* data = nullptr;
    size_t bytes = 0;
    cudaEvent_t copied = nullptr;
  };
  static void grow(Slot& s, size_t bytes) {
    if (s.data != nullptr) check(cudaFreeHost(s.data), "pinned memory for uploads: freeing");
    s = {nullptr, 0, s.copied};
    check(cudaMallocHost(&s.data, bytes), fmt::format("pinned memory for uploads: {} bytes", bytes));
    s.bytes = bytes;
  }
  const HostWait& wait_;
  Slot slots_[2];
  int current_ = 0;
};

}  // namespace mbt::cuda

// Device memory of the CUDA backend: the grow-only scratch that launchers borrow.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/runtime/abandoned.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

/// cudaMalloc. Throws OutOfMemory with `what`, the size and what is free.
inline void* allocate_device(size_t bytes, const char* what) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    size_t free = 0, total = 0;
    static_cast<void>(cudaMemGetInfo(&free, &total));
    throw OutOfMemory(
        fmt::format("GPU memory: {} bytes needed ({}), {} of {} free; lower train.micro_batch_size, set model.recompute_granularity, or "
                    "see with nvidia-smi who else uses the GPU",
                    bytes, what, free, total));
  }
  check(status, fmt::format("{}: {} bytes", what, bytes));
  return data;
}

/// cudaFree, which waits for the device.
inline void free_device(void* data) noexcept {
  if (!PeerWork::is_abandoned()) static_cast<void>(cudaFree(data));
}

/// Grow-only device memory that an op borrows for the length of one launcher call. Ops of one stream run one after the other, so the next
/// op may borrow it while this one still runs; growing waits for the device.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { free_device(data_); }

  /// At least `count` elements, aligned to 256 bytes, contents undefined; ends the life of what an earlier call returned. Throws Error when
  /// the device has no more memory.
  template <class T>
  T* get(size_t count) {
    return static_cast<T*>(reserve(count * sizeof(T)));
  }
  size_t bytes() const { return bytes_; }

  /// Counts how often the memory has moved: addresses in recorded work are good as long as this stays.
  uint64_t generation() const { return generation_; }
  /// While frozen it does not grow, and throws Error instead: a graph that is being recorded keeps the address.
  void freeze(bool is_frozen) { is_frozen_ = is_frozen; }

 private:
  void* reserve(size_t bytes) {
    if (bytes <= bytes_) return data_;
    if (is_frozen_)
      throw Error(fmt::format("scratch memory: {} bytes wanted, {} there, and it cannot grow while work is recorded", bytes, bytes_));
    ++generation_;
    check(cudaDeviceSynchronize(), "scratch memory: waiting for the device");
    check(cudaFree(data_), "scratch memory: freeing");
    data_ = nullptr;
    bytes_ = 0;
    data_ = allocate_device(bytes, "scratch memory");
    bytes_ = bytes;
    return data_;
  }
  void* data_ = nullptr;
  size_t bytes_ = 0;
  uint64_t generation_ = 0;
  bool is_frozen_ = false;
};

}  // namespace mbt::cuda

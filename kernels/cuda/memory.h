// Device memory of the CUDA backend: the grow-only scratch that launchers borrow.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/cuda/launch.h"

namespace mbt::cuda {

/// Grow-only device memory that an op borrows for the length of one launcher call. Ops of one stream run one after the other, so the next
/// op may borrow it while this one still runs; growing waits for the device.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { static_cast<void>(cudaFree(data_)); }

  /// At least `count` elements, aligned to 256 bytes, contents undefined; ends the life of what an earlier call returned. Throws Error when
  /// the device has no more memory.
  template <class T>
  T* get(size_t count) {
    return static_cast<T*>(reserve(count * sizeof(T)));
  }
  size_t bytes() const { return bytes_; }

 private:
  void* reserve(size_t bytes) {
    if (bytes <= bytes_) return data_;
    check(cudaDeviceSynchronize(), "scratch memory: waiting for the device");
    check(cudaFree(data_), "scratch memory: freeing");
    data_ = nullptr;
    bytes_ = 0;
    check(cudaMalloc(&data_, bytes), text("scratch memory: ", bytes, " bytes"));
    bytes_ = bytes;
    return data_;
  }
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace mbt::cuda

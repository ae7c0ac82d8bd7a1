// Shared memory of a block: all of it dynamic, as many bytes as the launch asked for. Kernels never write __shared__.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <type_traits>
#if defined(MBT_EMULATED_DEVICE)
#include <mbt_emulated_launch.h>
#endif

namespace mbt::cuda {

/// `count` elements of T, `offset` bytes into the block's shared memory (a multiple of T's alignment). Not initialized; every call sees the
/// same bytes. The emulated device throws when the launch asked for fewer bytes.
#if defined(MBT_EMULATED_DEVICE)
template <class T>
T* shared_array(size_t offset, size_t count, emulation::Site site = emulation::Site::here()) {
  static_assert(std::is_trivially_default_constructible_v<T> && std::is_trivially_destructible_v<T>);
  return static_cast<T*>(emulation::shared_memory_at(offset, count * sizeof(T), alignof(T), site));
}
#else
template <class T>
__device__ __forceinline__ T* shared_array(size_t offset, size_t) {
  static_assert(std::is_trivially_default_constructible_v<T> && std::is_trivially_destructible_v<T>);
  extern __shared__ __align__(1024) char mbt_shared_bytes[];
  return reinterpret_cast<T*>(mbt_shared_bytes + offset);
}
#endif

/// The block's shared memory as a struct of arrays; the launch's shared_bytes is sizeof(T) or more.
#if defined(MBT_EMULATED_DEVICE)
template <class T>
T& shared_memory(emulation::Site site = emulation::Site::here()) {
  return *shared_array<T>(0, 1, site);
}
#else
template <class T>
__device__ __forceinline__ T& shared_memory() {
  return *shared_array<T>(0, 1);
}
#endif

}  // namespace mbt::cuda

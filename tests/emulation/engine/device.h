// What the code of a kernel asks of the engine while it runs: who am I, barriers, warp operations, shared memory, asynchronous copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/emulation/device/vector_types.h"
#include "tests/emulation/engine/site.h"

namespace mbt::emulation {

/// The running thread. The engine rewrites it at each change of fiber: a launch runs on one thread of the host, so a plain global does.
struct Here {
  uint3 thread_index{}, block_index{};
  dim3 block_size, grid_size;
  unsigned lane = 0;
};
inline Here here;

struct BarrierResult {
  int count = 0;  ///< threads whose predicate held
  int threads = 0;
};

/// Waits for all threads of the block, all of which must call it from the same place. `call` is the name that errors use.
/// Throws Error when threads wait at different places, or when one has ended.
BarrierResult block_barrier(bool predicate, const char* call, Site site);

/// What the lanes of `mask` brought to a warp operation: data[lane] points into the stack of that lane.
struct Lanes {
  uint32_t mask = 0;
  void* data[32] = {};

  template <class T>
  T& at(int lane) const {
    return *static_cast<T*>(data[lane]);
  }
  bool has(int lane) const { return (mask >> lane & 1) != 0; }
};
/// Reads the operands of all lanes and writes their results. Runs once, in the lane that comes last.
using WarpFinish = void (*)(const Lanes&);

/// Waits until every lane in `mask` has come here with the same mask, runs `finish`, lets all go on.
/// Throws Error when the caller is not in the mask, or when a named lane does not exist, has ended or waits elsewhere.
void warp_collective(uint32_t mask, void* lane_data, WarpFinish finish, const char* call, Site site);

/// Throws Error naming kernel, block, the thread of this lane of the running warp, and the place.
[[noreturn]] void fail_lane(int lane, Site site, const std::string& what);
/// The same for the running thread.
[[noreturn]] void fail_here(Site site, const std::string& what);

/// `bytes` bytes of the block's shared memory from `offset`. Throws Error when the launch asked for fewer.
void* shared_memory_at(size_t offset, size_t bytes, size_t alignment, Site site);
/// Throws Error unless [address, address + bytes) lies in the block's shared memory and the address is a multiple of `alignment`.
void require_shared(const void* address, size_t bytes, size_t alignment, const char* call, Site site);

/// cp.async: `valid_bytes` from `source` and zeros up to `bytes`. Shared memory holds poison until the thread waits for the copy.
void async_copy(void* shared, const void* source, size_t bytes, size_t valid_bytes, Site site);
void async_commit();
/// Completes all but the latest `groups` committed groups of the running thread; -1: also what is not committed.
void async_wait(int groups);

}  // namespace mbt::emulation

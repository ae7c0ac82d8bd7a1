#include "tests/emulation/engine/device.h"

#include <cstring>

#include "core/base/error.h"
#include "tests/emulation/engine/block_runner.h"

namespace mbt::emulation {

BarrierResult block_barrier(bool predicate, const char* call, Site site) { return block_runner().block_barrier(predicate, call, site); }

void warp_collective(uint32_t mask, void* lane_data, WarpFinish finish, const char* call, Site site) {
  block_runner().warp_collective(mask, lane_data, finish, call, site);
}

void fail_here(Site site, const std::string& what) { block_runner().fail(block_runner().running(), site, what); }

void fail_lane(int lane, Site site, const std::string& what) { block_runner().fail(block_runner().running() / 32 * 32 + lane, site, what); }

// -- shared memory -----------------------------------------------------------------------------------------------------------------------

void* shared_memory_at(size_t offset, size_t bytes, size_t alignment, Site site) {
  const BlockRunner& runner = block_runner();
  if (offset + bytes > runner.launch().shared_bytes) {
    fail_here(site, fmt::format("the kernel uses {} bytes of shared memory; the launch asked for {}", offset + bytes,
                                runner.launch().shared_bytes));
  }
  if (offset % alignment != 0) fail_here(site, fmt::format("shared memory at offset {} is not aligned to {} bytes", offset, alignment));
  return runner.shared() + offset;
}

void require_shared(const void* address, size_t bytes, size_t alignment, const char* call, Site site) {
  const BlockRunner& runner = block_runner();
  const auto offset = reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(runner.shared());
  if (offset > runner.launch().shared_bytes || bytes > runner.launch().shared_bytes - offset) {
    fail_here(site, fmt::format("{}: the address is not in shared memory, or too near its end", call));
  }
  if (offset % alignment != 0)
    fail_here(site, fmt::format("{}: shared memory at offset {} is not aligned to {} bytes", call, offset, alignment));
}

// -- asynchronous copies -----------------------------------------------------------------------------------------------------------------

void async_copy(void* shared, const void* source, size_t bytes, size_t valid_bytes, Site site) {
  require_shared(shared, bytes, bytes, "cp.async", site);
  if (valid_bytes > 0 && reinterpret_cast<uintptr_t>(source) % bytes != 0)
    fail_here(site, fmt::format("cp.async: the source is not aligned to {} bytes", bytes));
  if (valid_bytes > bytes || bytes > sizeof AsyncCopy::early) fail_here(site, fmt::format("cp.async: {} of {} bytes", valid_bytes, bytes));
  AsyncCopy copy{static_cast<char*>(shared), static_cast<const char*>(source), bytes, valid_bytes, {}};
  if (valid_bytes > 0) std::memcpy(copy.early, source, valid_bytes);
  std::memset(shared, block_runner().pass().poison, bytes);
  block_runner().running_thread().copies.push_back(copy);
}

void async_commit() {
  Thread& thread = block_runner().running_thread();
  size_t earlier = 0;
  for (const size_t size : thread.committed_copies) earlier += size;
  thread.committed_copies.push_back(thread.copies.size() - earlier);
}

void async_wait(int groups) {
  Thread& thread = block_runner().running_thread();
  size_t finished = 0;
  if (groups < 0) {
    finished = thread.copies.size();
    thread.committed_copies.clear();
  }
  while (groups >= 0 && thread.committed_copies.size() > static_cast<size_t>(groups)) {
    finished += thread.committed_copies.front();
    thread.committed_copies.erase(thread.committed_copies.begin());
  }
  for (size_t i = 0; i < finished; ++i) {
    const AsyncCopy& copy = thread.copies[i];
    const char* const from = block_runner().pass().late_copies ? copy.source : copy.early;
    if (copy.valid_bytes > 0) std::memcpy(copy.target, from, copy.valid_bytes);
    std::memset(copy.target + copy.valid_bytes, 0, copy.bytes - copy.valid_bytes);
  }
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<std::ptrdiff_t>(finished));
}

}  // namespace mbt::emulation

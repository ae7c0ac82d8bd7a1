// The memory that cudaMalloc and cudaMallocHost give out: poisoned when new, guarded on both sides, copied and compared around launches.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

namespace mbt::emulation {

enum class MemoryKind : unsigned char { device, pinned };

class Memory {
 public:
  /// Null when the device has not so much left. Bytes are 0xFF: NaN in every float format, -1 in every integer.
  void* allocate(size_t bytes, MemoryKind kind);
  /// False when `data` is not the start of such an allocation. Throws Error when something was written beside it.
  bool release(void* data, MemoryKind kind);
  /// Whether all `bytes` bytes lie in one allocation of device memory.
  bool is_device(const void* data, size_t bytes) const;
  bool is_pinned(const void* data, size_t bytes) const;
  size_t device_bytes() const { return device_bytes_; }

  // Around a launch. Guards change with the poison, so that a result made from what was read there differs between two runs.
  void fill_guards(unsigned char poison);
  /// Names the first byte written outside of an allocation; empty when there is none.
  std::string guard_damage(unsigned char poison) const;
  void take_snapshot();
  /// Swaps contents and snapshot: the first run's results are kept, and the second finds what the first had found.
  void swap_with_snapshot();
  /// Names the first four bytes that differ from the snapshot; empty when there are none.
  std::string difference_from_snapshot() const;

 private:
  struct Allocation {
    int number;
    MemoryKind kind;
    size_t bytes;
    char* block;  // with guards
    char* data;
    std::unique_ptr<char[]> snapshot;
  };
  bool lies_in(const void* data, size_t bytes, MemoryKind kind) const;
  static std::string describe(const Allocation& allocation);
  static std::string guard_damage(const Allocation& allocation, unsigned char poison);
  std::map<const char*, Allocation> allocations_;  // by data
  size_t device_bytes_ = 0;
  int count_ = 0;
  unsigned char guard_poison_ = 0xFF;
};

Memory& memory();

}  // namespace mbt::emulation

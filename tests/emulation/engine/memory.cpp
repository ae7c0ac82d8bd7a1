#include "tests/emulation/engine/memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "tests/emulation/engine/sanitizer.h"
#include "tests/emulation/engine/settings.h"

namespace mbt::emulation {
namespace {

constexpr size_t kAlignment = 256;  // cudaMalloc's promise
// AddressSanitizer watches both ends of a heap block to the byte, at the moment of the access; a guard would only hide them.
constexpr size_t kGuardBytes = kAddressSanitizer ? 0 : 4096;
constexpr unsigned char kNewMemory = 0xFF;
constexpr size_t kChunk = 1 << 16;  // memory that a launch left alone is compared, not copied

/// The first byte of [data, data + bytes) that is not `value`; `bytes` when all are.
size_t first_other(const char* data, size_t bytes, unsigned char value) {
  if (bytes == 0) return 0;
  if (static_cast<unsigned char>(*data) == value && std::memcmp(data, data + 1, bytes - 1) == 0) return bytes;  // the usual case, fast
  const char* const other = std::find_if(data, data + bytes, [&](char c) { return static_cast<unsigned char>(c) != value; });
  return static_cast<size_t>(other - data);
}

std::string show(const char* data, size_t bytes) {
  uint32_t bits = 0;
  std::memcpy(&bits, data, bytes);
  char buffer[64];
  if (bytes < 4) {
    std::snprintf(buffer, sizeof buffer, "0x%0*x", static_cast<int>(bytes) * 2, bits);
  } else {
    float value = 0;
    std::memcpy(&value, data, 4);
    std::snprintf(buffer, sizeof buffer, "0x%08x (as float %.9g)", bits, static_cast<double>(value));
  }
  return buffer;
}

}  // namespace

Memory& memory() {
  static Memory& all = *new Memory;  // never destroyed: tests may free memory from static destructors
  return all;
}

void* Memory::allocate(size_t bytes, MemoryKind kind) {
  if (kind == MemoryKind::device && bytes > settings().memory_bytes - std::min(device_bytes_, settings().memory_bytes)) return nullptr;
  void* block = nullptr;
  if (posix_memalign(&block, kAlignment, bytes + 2 * kGuardBytes) != 0) return nullptr;
  auto* const start = static_cast<char*>(block);
  char* const data = start + kGuardBytes;
  std::memset(start, guard_poison_, kGuardBytes);
  std::memset(data, kNewMemory, bytes);
  std::memset(data + bytes, guard_poison_, kGuardBytes);
  allocations_.emplace(data, Allocation{++count_, kind, bytes, start, data, nullptr});
  if (kind == MemoryKind::device) device_bytes_ += bytes;
  return data;
}

bool Memory::release(void* data, MemoryKind kind) {
  const auto found = allocations_.find(static_cast<char*>(data));
  if (found == allocations_.end() || found->second.kind != kind) return false;
  const std::string damage = guard_damage(found->second, guard_poison_);
  if (kind == MemoryKind::device) device_bytes_ -= found->second.bytes;
  std::free(found->second.block);
  allocations_.erase(found);
  if (!damage.empty()) throw Error(fmt::format("written outside of memory between launches: {}", damage));
  return true;
}

bool Memory::is_device(const void* data, size_t bytes) const { return lies_in(data, bytes, MemoryKind::device); }
bool Memory::is_pinned(const void* data, size_t bytes) const { return lies_in(data, bytes, MemoryKind::pinned); }

bool Memory::lies_in(const void* data, size_t bytes, MemoryKind kind) const {
  auto found = allocations_.upper_bound(static_cast<const char*>(data));
  if (found == allocations_.begin()) return false;
  const Allocation& allocation = (--found)->second;
  const auto offset = static_cast<size_t>(static_cast<const char*>(data) - allocation.data);
  return allocation.kind == kind && offset <= allocation.bytes && bytes <= allocation.bytes - offset;
}

void Memory::fill_guards(unsigned char poison) {
  guard_poison_ = poison;
  for (const auto& [data, allocation] : allocations_) {
    std::memset(allocation.block, poison, kGuardBytes);
    std::memset(allocation.data + allocation.bytes, poison, kGuardBytes);
  }
}

std::string Memory::guard_damage(unsigned char poison) const {
  for (const auto& [data, allocation] : allocations_) {
    const std::string damage = guard_damage(allocation, poison);
    if (!damage.empty()) return damage;
  }
  return {};
}

std::string Memory::guard_damage(const Allocation& allocation, unsigned char poison) {
  const size_t before = first_other(allocation.block, kGuardBytes, poison);
  if (before < kGuardBytes) return fmt::format("byte -{} of {}", kGuardBytes - before, describe(allocation));
  const size_t after = first_other(allocation.data + allocation.bytes, kGuardBytes, poison);
  if (after < kGuardBytes) return fmt::format("byte {} of {}", allocation.bytes + after, describe(allocation));
  return {};
}

std::string Memory::describe(const Allocation& allocation) {
  return fmt::format("{} allocation #{} of {} bytes", allocation.kind == MemoryKind::device ? "device" : "pinned", allocation.number,
                     allocation.bytes);
}

void Memory::take_snapshot() {
  for (auto& [data, allocation] : allocations_) {
    if (allocation.snapshot == nullptr) allocation.snapshot = std::make_unique_for_overwrite<char[]>(allocation.bytes);
    std::memcpy(allocation.snapshot.get(), allocation.data, allocation.bytes);
  }
}

void Memory::swap_with_snapshot() {
  for (auto& [data, allocation] : allocations_) {
    for (size_t at = 0; at < allocation.bytes; at += kChunk) {
      const size_t bytes = std::min(kChunk, allocation.bytes - at);
      char* const now = allocation.data + at;
      char* const then = allocation.snapshot.get() + at;
      if (std::memcmp(now, then, bytes) != 0) std::swap_ranges(now, now + bytes, then);
    }
  }
}

std::string Memory::difference_from_snapshot() const {
  for (const auto& [data, allocation] : allocations_) {
    const char* const then = allocation.snapshot.get();
    if (std::memcmp(then, allocation.data, allocation.bytes) == 0) continue;
    const auto at = static_cast<size_t>(std::mismatch(then, then + allocation.bytes, allocation.data).first - then) / 4 * 4;
    const size_t bytes = std::min<size_t>(4, allocation.bytes - at);
    return fmt::format("{} holds at byte {} {} after the first run and {} after the second", describe(allocation), at,
                       show(then + at, bytes), show(allocation.data + at, bytes));
  }
  return {};
}

}  // namespace mbt::emulation

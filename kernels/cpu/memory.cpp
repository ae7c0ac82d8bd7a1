#include "kernels/cpu/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <string>

#include "core/base/error.h"

namespace mbt::cpu {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kHugePage = size_t{2} << 20;
/// From here on a block is mapped on its own.
constexpr size_t kMappedBytes = size_t{1} << 20;

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

std::string readable(size_t bytes) {
  std::ostringstream out;
  if (bytes < (size_t{1} << 20)) {
    out << bytes << " bytes";
  } else {
    out << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / (1 << 30) << " GiB (" << bytes << " bytes)";
  }
  return out.str();
}

[[noreturn]] void throw_out_of_memory(size_t bytes) {
  throw OutOfMemory("out of memory: " + readable(bytes) + " asked for; this process may use " + readable(usable_memory_bytes()) +
                    ". A smaller model, micro-batch or sequence, or activation recompute, needs less");
}

/// Maps one huge page more than needed and gives back what lies around the aligned block, so that huge pages fit.
void* map_pages(size_t bytes) {
  void* raw = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(raw);
  const auto aligned = static_cast<uintptr_t>(round_up(begin, kHugePage));
  if (aligned > begin) munmap(raw, aligned - begin);
  void* data = reinterpret_cast<void*>(aligned);
  munmap(static_cast<char*>(data) + bytes, begin + kHugePage - aligned);
  madvise(data, bytes, MADV_HUGEPAGE);  // a wish: without it the pages are small
  return data;
}

}  // namespace

void* allocate_zeroed(size_t bytes) {
  if (bytes > usable_memory_bytes()) throw_out_of_memory(bytes);
  void* data = nullptr;
  if (bytes >= kMappedBytes) {
    data = map_pages(round_up(bytes, kHugePage));
  } else {
    const size_t size = round_up(std::max<size_t>(bytes, 1), kAlignment);
    data = std::aligned_alloc(kAlignment, size);
    if (data != nullptr) std::memset(data, 0, size);
  }
  if (data == nullptr) throw_out_of_memory(bytes);
  return data;
}

void deallocate(void* data, size_t bytes) noexcept {
  if (data == nullptr) return;
  if (bytes >= kMappedBytes) {
    munmap(data, round_up(bytes, kHugePage));
  } else {
    std::free(data);
  }
}

size_t usable_memory_bytes() {
  static const size_t usable = [] {
    size_t bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
    for (const char* limit : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
      size_t allowed = 0;
      if (std::ifstream(limit) >> allowed) bytes = std::min(bytes, allowed);  // "max" does not parse: no limit
    }
    return bytes;
  }();
  return usable;
}

std::optional<size_t> available_memory_bytes() {
  std::ifstream info("/proc/meminfo");
  std::string line;
  while (std::getline(info, line)) {
    std::istringstream words(line);
    std::string name;
    size_t kib = 0;
    if (!(words >> name >> kib) || name != "MemAvailable:") continue;
    size_t bytes = kib << 10;
    size_t limit = 0, used = 0;
    if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit && std::ifstream("/sys/fs/cgroup/memory.current") >> used)
      bytes = std::min(bytes, limit > used ? limit - used : 0);
    return bytes;
  }
  return std::nullopt;
}

void* Scratch::reserve(size_t bytes) {
  if (bytes <= bytes_) return data_;
  deallocate(data_, bytes_);
  data_ = nullptr;
  bytes_ = 0;
  data_ = allocate_zeroed(bytes);
  bytes_ = bytes;
  return data_;
}

}  // namespace mbt::cpu

// Memory of the CPU backend.
#pragma once

#include <cstddef>
#include <optional>

namespace mbt::cpu {

/// Zeroed memory aligned to 256 bytes at least. Large blocks come as fresh huge-page-friendly pages of the system: what is never touched
/// costs nothing. Throws Error naming the size when `bytes` cannot be had.
void* allocate_zeroed(size_t bytes);
void deallocate(void* data, size_t bytes) noexcept;

/// Memory that this process may use: the machine's, or less when its control group has a limit.
size_t usable_memory_bytes();

/// Returns the bytes that the system can provide now without swapping, or what the process's control group leaves if that is less; nullopt
/// when the system does not report it.
std::optional<size_t> available_memory_bytes();

/// Grow-only memory that ops borrow for the length of one call.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { deallocate(data_, bytes_); }
  /// At least `count` elements, contents undefined; ends the life of what an earlier call returned.
  template <class T>
  T* get(size_t count) {
    return static_cast<T*>(reserve(count * sizeof(T)));
  }
  size_t bytes() const { return bytes_; }

 private:
  void* reserve(size_t bytes);
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace mbt::cpu

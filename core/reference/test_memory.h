// Where guarded tensors live: the heap, or, in tests whose ops run on a device, memory that host and device both reach.
#pragma once

#include <cstdlib>
#include <new>

namespace mbt::ref {

/// Set before the first tensor is made (tests/parity/device_backend.cpp).
struct TestMemory {
  void* (*allocate)(size_t bytes) = [](size_t bytes) { return std::malloc(bytes); };
  void (*release)(void* data) = [](void* data) { std::free(data); };
};
inline TestMemory& test_memory() {
  static TestMemory memory;
  return memory;
}

template <class T>
struct TestAllocator {
  using value_type = T;
  TestAllocator() = default;
  template <class U>
  TestAllocator(const TestAllocator<U>&) {}  // NOLINT
  T* allocate(size_t count) {
    void* data = test_memory().allocate(count * sizeof(T));
    if (data == nullptr) throw std::bad_alloc();
    return static_cast<T*>(data);
  }
  void deallocate(T* data, size_t) { test_memory().release(data); }
  bool operator==(const TestAllocator&) const { return true; }
};

}  // namespace mbt::ref

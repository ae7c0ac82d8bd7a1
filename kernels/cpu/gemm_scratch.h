// Memory that a kernel keeps between calls: grows to the largest request, then stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace mbt::cpu {

class Scratch {
 public:
  /// At least `bytes` of uninitialised memory, aligned to 64 bytes; the previous content is lost when it grows.
  void* bytes(size_t bytes) {
    if (bytes > size_) {
      data_.reset();
      data_.reset(::operator new(bytes, kAlignment));
      size_ = bytes;
    }
    return data_.get();
  }
  template <class T>
  T* of(int64_t count) {
    return static_cast<T*>(bytes(static_cast<size_t>(count) * sizeof(T)));
  }
  void* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(void* p) const noexcept { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<void, Free> data_;
  size_t size_ = 0;
};

}  // namespace mbt::cpu

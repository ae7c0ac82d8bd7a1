// Views of dense row-major tensors. A view does not own memory and does not record its device: only a backend dereferences
// `data`.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/tensor/dtype.h"

namespace mbt {

/// Up to four extents. The empty shape {} is a scalar (one element).
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) {
    MBT_CHECK(extents.size() <= kMaxRank, "rank {}", extents.size());
    for (int64_t e : extents) extent_[static_cast<size_t>(rank_++)] = e;
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return extent_[static_cast<size_t>(i)]; }
  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= (*this)[i];
    return n;
  }
  bool operator==(const Shape&) const = default;
  std::string str() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) {
      if (i > 0) s += ',';  // not "," + to_string(...): GCC 12 warns of an overflow that is none (bug 105651)
      s += std::to_string((*this)[i]);
    }
    return s + "]";
  }

 private:
  std::array<int64_t, kMaxRank> extent_{};
  int rank_ = 0;
};

/// Shared by the mutable and the const view; `Void` is void or const void.
template <class Void>
struct BasicTensorView {
  Void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape{};

  BasicTensorView() = default;
  BasicTensorView(Void* d, DType t, Shape s) : data(d), dtype(t), shape(s) {}
  /// A mutable view converts to a const one, never back.
  template <class Other>
  BasicTensorView(const BasicTensorView<Other>& o) : data(o.data), dtype(o.dtype), shape(o.shape) {}  // NOLINT

  bool empty() const { return data == nullptr; }
  int64_t size() const { return shape.size(); }
  int64_t size_bytes() const { return size() * size_of(dtype); }
  int64_t rows() const { return shape.rank() == 0 ? 1 : shape.size() / cols(); }
  /// The last extent: a tensor seen as a matrix [rows, cols].
  int64_t cols() const { return shape.rank() == 0 ? 1 : shape[shape.rank() - 1]; }

  /// Rows [begin, begin + count) of the matrix [rows, cols].
  BasicTensorView row_range(int64_t begin, int64_t count) const {
    using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
    return {static_cast<Byte*>(data) + begin * cols() * size_of(dtype), dtype, {count, cols()}};
  }
  /// Elements [first, first + count) of the tensor seen as one row.
  BasicTensorView element_range(int64_t first, int64_t count) const {
    using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
    return {static_cast<Byte*>(data) + first * size_of(dtype), dtype, {count}};
  }
  /// The same elements under another shape of equal size.
  BasicTensorView reshaped(Shape s) const {
    MBT_CHECK(s.size() == size(), "reshape {} to {}", shape.str(), s.str());
    return {data, dtype, s};
  }
  template <class T>
  auto* as() const {
    return static_cast<std::conditional_t<std::is_const_v<Void>, const T*, T*>>(data);
  }
  std::string str() const { return std::string(name_of(dtype)) + shape.str(); }
};

using TensorView = BasicTensorView<void>;
using ConstTensorView = BasicTensorView<const void>;

}  // namespace mbt

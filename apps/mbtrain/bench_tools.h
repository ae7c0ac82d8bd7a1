// What the benchmarks of single operations share: tensors of random numbers, quantized tensors, and the clock.
#pragma once

#include <functional>
#include <vector>

#include "core/backend/backend.h"

namespace mbt {

/// Returns the seconds of one call that only enqueues work. Makes one call to warm up, then times several batches and takes the fastest. A
/// batch has so many calls between two synchronizations that the cost of waiting is negligible.
double seconds_per_call(Backend& backend, const std::function<void()>& call);

/// Of at least one value.
double median(std::vector<double> values);

/// A tensor in the backend's memory.
class BenchTensor {
 public:
  /// Zeros.
  BenchTensor(Backend& backend, DType dtype, const Shape& shape)
      : memory_(backend, static_cast<size_t>(shape.size() * size_of(dtype))), view_(memory_.data(), dtype, shape) {}
  operator TensorView() const { return view_; }       // NOLINT
  operator ConstTensorView() const { return view_; }  // NOLINT
  TensorView view() const { return view_; }

 private:
  Buffer memory_;
  TensorView view_;
};

/// Pseudo-random numbers in [-1, 1), the same for each call.
BenchTensor random_tensor(Backend& backend, DType dtype, const Shape& shape);
/// i32 [n], pseudo-random in [0, limit); `distinct` receives how many different ones.
BenchTensor random_indices(Backend& backend, int64_t n, int64_t limit, int64_t* distinct = nullptr);

/// Memory for a quantized matrix: its row-wise copy, and with_columns the column-wise one, `transposed` where the backend offers that.
class BenchQuantTensor {
 public:
  BenchQuantTensor(Backend& backend, const QuantSpec& spec, int64_t rows, int64_t cols, bool with_columns, bool transposed = false);
  const QuantTensorView& view() const { return view_; }
  /// Of codes and scales, each copy once.
  int64_t bytes() const { return bytes_; }

 private:
  QuantCopy allocate(Backend& backend, bool is_columnwise);
  void* block(Backend& backend, int64_t bytes);

  std::vector<Buffer> parts_;
  QuantTensorView view_{};
  int64_t bytes_ = 0;
};

}  // namespace mbt

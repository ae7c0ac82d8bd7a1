// The cases that every element- and row-wise op is tested on, and small helpers around its arguments.
#pragma once

#include <memory>

#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"

namespace mbt::test {

constexpr DType kActTypes[] = {DType::f32, DType::bf16, DType::f16};
constexpr int64_t kRows[] = {1, 2, 17, 33};
constexpr int64_t kCols[] = {1, 31, 64, 129};

/// Calls f(dtype, rows, cols) for every combination, named in the report of a failure.
template <class F>
void for_each_case(F f) {
  for (DType dtype : kActTypes)
    for (int64_t rows : kRows)
      for (int64_t cols : kCols) {
        INFO(name_of(dtype) << " [" << rows << "," << cols << "]");
        f(dtype, rows, cols);
      }
}

inline GuardedTensor normal_tensor(DType dtype, Shape shape, uint32_t seed, double deviation = 1.0) {
  std::mt19937 random(seed);
  GuardedTensor t(dtype, shape);
  t.fill_normal(random, deviation);
  return t;
}

/// An i32 [1] that ops read or write.
class Flag {
 public:
  explicit Flag(int32_t value) : value_(1, value) {}
  operator TensorView() { return {value_.data(), DType::i32, {1}}; }             // NOLINT
  operator ConstTensorView() const { return {value_.data(), DType::i32, {1}}; }  // NOLINT
  int32_t value() const { return value_[0]; }
  void set(int32_t value) { value_[0] = value; }

 private:
  std::vector<int32_t, TestAllocator<int32_t>> value_;
};

/// i32 [n], uniform in [0, limit).
class Indices {
 public:
  Indices(int64_t n, int32_t limit, uint32_t seed) : values_(static_cast<size_t>(n)) {
    std::mt19937 random(seed);
    for (int32_t& v : values_) v = static_cast<int32_t>(random() % static_cast<uint32_t>(limit));
  }
  int32_t& operator[](int64_t i) { return values_[static_cast<size_t>(i)]; }
  std::span<const int32_t> values() const { return values_; }
  operator ConstTensorView() const { return {values_.data(), DType::i32, {static_cast<int64_t>(values_.size())}}; }  // NOLINT

 private:
  std::vector<int32_t, TestAllocator<int32_t>> values_;
};

/// The backend under test: the CPU's, or the device's where the parity suite compiles these tests once more (MBT_TEST_DEVICE).
Backend& backend();
/// The same with so many threads, where it has threads.
Backend& tested_backend(int threads);

/// Runs `op(backend, output)` on 1, 2 and 5 threads and twice on the last: the bits of all outputs must be the same.
template <class Op>
bool same_bits_on_any_threads(const GuardedTensor& initial, Op op) {
  GuardedTensor first = initial;
  op(tested_backend(1), first);
  for (int threads : {2, 5, 5}) {
    GuardedTensor other = initial;
    op(tested_backend(threads), other);
    if (!other.same_bits(first)) return false;
  }
  return true;
}

}  // namespace mbt::test

// Tensors of checks in the backend's own memory, with their values on the host.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/backend/backend.h"
#include "core/quant/quant_tensor.h"
#include "core/reference/compare.h"
#include "core/reference/quantize.h"
#include "core/reference/quantize_inputs.h"
#include "core/selftest/check.h"

namespace mbt::selftest {

using ref::GuardedTensor;
using ref::zeros;

/// Normal numbers, the same for the same seed.
GuardedTensor normal(DType dtype, const Shape& shape, uint32_t seed, double deviation = 1.0);
/// Blocks of 16 x 16 of very different sizes, so that a scale that is read in another's place shows.
GuardedTensor uneven(DType dtype, const Shape& shape, uint32_t seed);

/// A float tensor between guards, uploaded when made.
class DeviceTensor {
 public:
  DeviceTensor(Backend& on, GuardedTensor start);
  operator TensorView() const { return view(); }       // NOLINT
  operator ConstTensorView() const { return view(); }  // NOLINT
  TensorView view() const;
  const GuardedTensor& start() const { return start_; }
  /// What the device has now, with its guards.
  GuardedTensor read() const;
  /// Within the table of tolerances of `want`, and nothing written outside.
  Outcome compare(std::string_view op, const std::vector<double>& want) const;
  /// The very bits of `want`.
  Outcome compare_bits(const GuardedTensor& want) const;

 private:
  Backend* on_;
  GuardedTensor start_;
  Buffer memory_;
};

/// Plain elements of another type: indices, codes, scales.
template <class T>
class DeviceArray {
 public:
  DeviceArray(Backend& on, std::vector<T> start, DType dtype)
      : on_(&on), size_(static_cast<int64_t>(start.size())), dtype_(dtype), memory_(on, start.size() * sizeof(T)) {
    on.upload(start.data(), view());
  }
  operator TensorView() const { return view(); }       // NOLINT
  operator ConstTensorView() const { return view(); }  // NOLINT
  TensorView view() const { return {memory_.data(), dtype_, {size_}}; }
  T* data() const { return static_cast<T*>(memory_.data()); }
  std::vector<T> read() const {
    std::vector<T> out(static_cast<size_t>(size_));
    on_->download(view(), out.data());
    return out;
  }

 private:
  Backend* on_;
  int64_t size_;
  DType dtype_;
  Buffer memory_;
};

/// A quantized tensor in the copies that the device asks for.
class DeviceQuant {
 public:
  static constexpr float kDelayedScale = 3.7F, kAmaxBefore = 0.25F;

  DeviceQuant(Backend& on, const QuantSpec& spec, int64_t rows, int64_t cols);
  const QuantTensorView& view() const { return view_; }
  /// A copy on the host, its codes in the order [rows, cols].
  ref::OwnedCopy read(bool columnwise) const;
  /// *q.amax now.
  float amax() const;
  /// Bytes of codes, scales and amaxes in which both copies differ from the other's.
  Outcome compare(const DeviceQuant& other) const;

 private:
  struct Copy {
    DeviceArray<uint8_t> codes, scales;
  };
  QuantCopy view_of(size_t copy, bool is_transposed) const;

  std::vector<Copy> copies_;    // one or two
  DeviceArray<float> scalars_;  // delayed scale, amax, global amax of either copy
  QuantTensorView view_;
};

/// In how many bytes two copies differ.
Outcome compare_copies(const ref::OwnedCopy& got, const ref::OwnedCopy& want, const std::string& what);
/// In how many bytes.
Outcome compare_bytes(std::span<const uint8_t> got, std::span<const uint8_t> want, const std::string& what);

/// The elements as fp32.
std::vector<float> to_floats(const GuardedTensor& t);

}  // namespace mbt::selftest

// Products of quantized operands for parity tests: what recipes give to a linear layer, tensors quantized as the device asks, and the
// product of the values that they stand for.
#pragma once

#include <vector>

#include "core/quant/dequantize.h"
#include "core/reference/product.h"
#include "kernels/cuda/gemm/gemm_rules.h"
#include "tests/support/op_cases.h"

namespace mbt::test {

using cuda::GemmExtents;
using enum QuantFormat;
using enum QuantScaling;

constexpr GemmRole kRoles[] = {GemmRole::fprop, GemmRole::dgrad, GemmRole::wgrad};

/// What a recipe gives to the three tensors of a linear layer.
struct Specs {
  const char* name;
  QuantSpec input, weight, gradient;
};
inline std::vector<Specs> all_product_specs() {
  const QuantSpec line{.format = e4m3, .scaling = blockwise}, square{.format = e4m3, .scaling = blockwise, .is_2d = true};
  const QuantSpec mx{.format = e4m3, .scaling = mxfp8}, mx_square{.format = e4m3, .scaling = mxfp8, .is_2d = true};
  const QuantSpec fp4{.format = e2m1, .scaling = nvfp4, .hadamard_columnwise = true},
      fp4_square{.format = e2m1, .scaling = nvfp4, .is_2d = true};
  std::vector<Specs> all;
  for (const QuantScaling s : {delayed, tensorwise})
    all.push_back({s == delayed ? "delayed" : "tensorwise", {e4m3, s}, {e4m3, s}, {e5m2, s}});
  all.push_back({"blockwise", line, square, {.format = e5m2, .scaling = blockwise}});
  all.push_back({"blockwise, e4m3", line, square, line});
  all.push_back({"mxfp8", mx, mx, mx});
  all.push_back({"mxfp8, square weights", mx, mx_square, {.format = e5m2, .scaling = mxfp8}});
  all.push_back({"nvfp4", fp4, fp4_square, fp4});
  return all;
}
inline const QuantSpec& a_spec(const Specs& s, GemmRole role) { return role == GemmRole::fprop ? s.input : s.gradient; }
inline const QuantSpec& b_spec(const Specs& s, GemmRole role) { return role == GemmRole::wgrad ? s.input : s.weight; }

using ManagedBytes = std::vector<uint8_t, TestAllocator<uint8_t>>;

/// A tensor quantized on the device, with the copies that the device asks for.
class QuantizedMatrix {
 public:
  QuantizedMatrix(Backend& device, const QuantSpec& spec, Shape shape, uint32_t seed) {
    view_.spec = spec;
    view_.rows = shape[0], view_.cols = shape[1];
    const bool is_transposed = device.wants_transposed(spec);
    view_.rowwise = allocate(0);
    view_.columnwise = spec.columnwise_shares_codes() && !is_transposed ? view_.rowwise : allocate(1);
    view_.columnwise.is_transposed = is_transposed;
    if (spec.scaling == delayed) view_.scale = &floats_[0];
    floats_[0] = 100;
    GuardedTensor x(DType::bf16, shape);
    std::mt19937 random(seed);
    // Blocks of very different sizes, so that a scale that is read in another's place shows.
    x.fill([&](int64_t i) {
      return std::normal_distribution<double>()(random) *
             std::exp2(static_cast<double>((i / shape[1] / 16 * 7 + i % shape[1] / 16 * 3) % 11) - 5);
    });
    device.quantize({.x = x, .to = {.q = view_}});
    device.synchronize();  // x goes
  }
  QuantizedMatrix(const QuantizedMatrix&) = delete;
  QuantizedMatrix& operator=(const QuantizedMatrix&) = delete;
  const QuantTensorView& view() const { return view_; }

 private:
  QuantCopy allocate(size_t i) {
    const QuantCopyShape shape = quant_copy_shape(view_.spec, view_.rows, view_.cols, i == 1);
    codes_[i] = ManagedBytes(static_cast<size_t>(shape.codes_bytes));
    scales_[i] = ManagedBytes(static_cast<size_t>(shape.scale_bytes));
    return {
        .codes = codes_[i].data(), .scale_inv = scales_[i].data(), .global_amax = view_.spec.scaling == nvfp4 ? &floats_[i + 1] : nullptr};
  }

  ManagedBytes codes_[2], scales_[2];
  std::vector<float, TestAllocator<float>> floats_ = std::vector<float, TestAllocator<float>>(3);
  QuantTensorView view_;
};

inline Shape a_shape(GemmRole role, const GemmExtents& e) { return ref::product_a_shape(role, {e.rows, e.cols, e.summed}); }
inline Shape b_shape(GemmRole role, const GemmExtents& e) { return ref::product_b_shape(role, {e.rows, e.cols, e.summed}); }
inline GemmShape shape_of(GemmRole role, const GemmExtents& e) {
  if (role == GemmRole::fprop) return {role, e.rows, e.cols, e.summed};
  if (role == GemmRole::dgrad) return {role, e.rows, e.summed, e.cols};
  return {role, e.summed, e.rows, e.cols};
}

inline std::vector<double> values_of(const QuantTensorView& q, bool columnwise) {
  const std::vector<float> v = dequantize(q, columnwise);
  return {v.begin(), v.end()};
}

/// What sums may lose of the magnitude of their terms. cuBLASLt's twin sums in double. Tensor cores cut off what does not fit into the
/// accumulator, at every step of 16 along the sum: some 20 steps lose as many units of fp32, and of the 14 bits that FP8's accumulators
/// keep until they are promoted. A scale in the wrong place is off by a power of two.
#if defined(MBT_EMULATED_DEVICE)
constexpr double kSumError = 0x1p-21, kNarrowSumError = kSumError;
#else
constexpr double kSumError = 0x1p-18, kNarrowSumError = 0x1p-9;
#endif

/// The largest error in units of what fp32 sums and one rounding to d's dtype allow.
inline double worst_error(GemmRole role, const GemmExtents& e, const std::vector<double>& a, const std::vector<double>& b,
                          GuardedTensor* bias, const GuardedTensor* before, const GuardedTensor& d, double sum_error = kSumError) {
  return ref::worst_of_product(role, {e.rows, e.cols, e.summed}, a, b, bias, before, d, sum_error).ratio();
}

inline void check_product(Backend& device, const Specs& specs, GemmRole role, const GemmExtents& e, DType d_type, bool accumulate) {
  const QuantizedMatrix a(device, a_spec(specs, role), a_shape(role, e), 3), b(device, b_spec(specs, role), b_shape(role, e), 4);
  const bool has_bias = role == GemmRole::fprop && d_type != DType::f32;
  const bool is_native = device.gemm_support(&a.view().spec, &b.view().spec, DType::bf16).execution == Execution::native;
  const double sum_error = is_native ? kNarrowSumError : kSumError;
  GuardedTensor d = normal_tensor(d_type, {e.rows, e.cols}, 5), bias = normal_tensor(d_type, {e.cols}, 6);
  if (!accumulate) d.fill([](int64_t) { return std::numeric_limits<double>::quiet_NaN(); });  // what D held must not matter
  const GuardedTensor before = d;
  GemmArgs args{role, a.view(), b.view(), d.view()};
  args.accumulate = accumulate;
  if (has_bias) args.bias = bias;
  device.gemm(args);
  device.synchronize();
  INFO(name_of(role) << " [" << e.rows << "," << e.cols << "] over " << e.summed << " into " << name_of(d_type)
                     << (accumulate ? ", +=" : ""));
  const auto a_values = values_of(a.view(), role == GemmRole::wgrad), b_values = values_of(b.view(), role != GemmRole::fprop);
  CHECK(worst_error(role, e, a_values, b_values, has_bias ? &bias : nullptr, accumulate ? &before : nullptr, d, sum_error) <= 1.0);
  CHECK(d.guards_intact());
}

}  // namespace mbt::test

// The codecs of core/numerics/codecs.h as branch-free lane operations that compilers vectorize. No operation meets or makes an fp32
// subnormal unless the data has them. Included by loop files only: everything has internal linkage.
#pragma once

#include <cstdint>

#include "core/quant/quant_spec.h"
#include "kernels/cpu/loops/element.h"
#include "kernels/cpu/loops/quantize.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

constexpr uint32_t kMagnitude = 0x7FFFFFFF;
constexpr uint32_t kInfBits = 0x7F800000;
constexpr uint32_t kNanBits = 0x7FC00000;

// -- inputs
// --------------------------------------------------------------------------------------------------------------------------------

/// An element of type T read as fp32, rounded to Via first.
template <class T, class Via = float>
struct Lane {
  using Type = T;
  static float load(T v) { return to_float(from_float<Via>(to_float(v))); }
};

// -- codes
// ---------------------------------------------------------------------------------------------------------------------------------

template <FloatFormat kLayout>
struct CodeLane {
  static constexpr int kShift = 23 - kLayout.mantissa_bits, kSignShift = 31 - kLayout.exponent_bits - kLayout.mantissa_bits;
  static constexpr uint32_t kSign = 0x80000000U >> kSignShift;
  static constexpr uint32_t kMinNormal = static_cast<uint32_t>(128 - kLayout.bias) << 23;  // fp32 bits of 2^(1 - bias)
  /// 2^23 of the format's smallest steps: adding it rounds to a multiple of the step, to nearest even, and leaves the multiple in its
  /// mantissa.
  static constexpr uint32_t kMagic = static_cast<uint32_t>(128 - kLayout.bias - kLayout.mantissa_bits + 23) << 23;
  static constexpr uint32_t kRebias = static_cast<uint32_t>(127 - kLayout.bias);
  static constexpr float kStep = exp2_f32(1 - kLayout.bias - kLayout.mantissa_bits);

  static uint32_t finish(uint32_t code, uint32_t bits) {
    const uint32_t capped = code < kLayout.largest ? code : kLayout.largest;
    return (bits & kMagnitude) > kInfBits ? kLayout.nan : capped | (bits >> kSignShift & kSign);
  }
  static uint32_t encode(float x) {
    const uint32_t bits = bits_of(x), magnitude = bits & kMagnitude;
    const uint32_t small = bits_of(float_of(magnitude) + float_of(kMagic)) - kMagic;
    const uint32_t normal =
        ((magnitude + ((1U << (kShift - 1)) - 1) + (magnitude >> kShift & 1)) >> kShift) - (kRebias << kLayout.mantissa_bits);
    return finish(magnitude < kMinNormal ? small : normal, bits);
  }
  /// A NaN keeps its sign, not its payload, which the device's conversions drop.
  static float decode(uint32_t code) {
    const uint32_t magnitude = code & (kSign - 1);
    const uint32_t subnormal = bits_of(static_cast<float>(static_cast<int32_t>(magnitude)) * kStep);
    const uint32_t normal = (magnitude << kShift) + (kRebias << 23);
    const uint32_t special = kLayout.has_inf && magnitude == kLayout.largest + 1 ? kInfBits : kNanBits;
    const uint32_t above = magnitude > kLayout.largest ? special : normal;
    return float_of((magnitude < 1U << kLayout.mantissa_bits ? subnormal : above) | (code & kSign) << kSignShift);
  }
};

template <QuantFormat F>
using Code = CodeLane<layout_of(F)>;

/// Stochastic rounding with 8 random bits: adds k/256 of the step below the kept bits, then truncates. Below 1 the fixed-point value
/// 1 + |x| has the step at the same place.
inline uint32_t encode_e2m1_stochastic(float x, uint32_t k) {
  const uint32_t bits = bits_of(x), magnitude = bits & kMagnitude;
  const uint32_t fixed = bits_of(1.0F + float_of(magnitude)) - (127U << 23);
  const uint32_t code = magnitude < 127U << 23 ? (fixed + (k << 14)) >> 22 : ((magnitude + (k << 14)) >> 22) - (126U << 1);
  return Code<QuantFormat::e2m1>::finish(code, bits);
}

/// Calls f with the lane that reads a source of this kind.
template <class F>
void with_lane(SourceKind kind, F&& f) {
  switch (kind) {
    case SourceKind::bf16: return f(Lane<Bf16>{});
    case SourceKind::f16: return f(Lane<F16>{});
    case SourceKind::f32: return f(Lane<float>{});
    case SourceKind::f32_as_bf16: return f(Lane<float, Bf16>{});
    case SourceKind::f32_as_f16: return f(Lane<float, F16>{});
  }
}

}  // namespace
}  // namespace mbt::cpu::MBT_LEVEL

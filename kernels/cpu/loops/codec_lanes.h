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

template <int MantissaBits, int Bias, uint32_t Largest, uint32_t Nan, int SignShift>
struct CodeLane {
  static constexpr int kShift = 23 - MantissaBits;
  static constexpr uint32_t kMinNormal = static_cast<uint32_t>(128 - Bias) << 23;  // fp32 bits of 2^(1 - Bias)
  /// 2^23 of the format's smallest steps: adding it rounds to a multiple of the step, to nearest even, and leaves the multiple in its
  /// mantissa.
  static constexpr uint32_t kMagic = static_cast<uint32_t>(128 - Bias - MantissaBits + 23) << 23;
  static constexpr uint32_t kRebias = static_cast<uint32_t>(127 - Bias) << MantissaBits;

  static uint32_t finish(uint32_t code, uint32_t bits) {
    const uint32_t capped = code < Largest ? code : Largest;
    return (bits & kMagnitude) > kInfBits ? Nan : capped | (bits >> SignShift & (0x80000000U >> SignShift));
  }
  static uint32_t encode(float x) {
    const uint32_t bits = bits_of(x), magnitude = bits & kMagnitude;
    const uint32_t small = bits_of(float_of(magnitude) + float_of(kMagic)) - kMagic;
    const uint32_t normal = ((magnitude + ((1U << (kShift - 1)) - 1) + (magnitude >> kShift & 1)) >> kShift) - kRebias;
    return finish(magnitude < kMinNormal ? small : normal, bits);
  }
};

template <QuantFormat F>
struct Code;

template <>
struct Code<QuantFormat::e4m3> : CodeLane<3, 7, 0x7E, 0x7F, 24> {
  static float decode(uint32_t code) {
    const uint32_t magnitude = code & 0x7F;
    const uint32_t subnormal = bits_of(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-9F);
    const uint32_t normal = magnitude == 0x7F ? kNanBits : (magnitude << 20) + (120U << 23);
    return float_of((magnitude < 8 ? subnormal : normal) | (code & 0x80) << 24);
  }
};
template <>
struct Code<QuantFormat::e5m2> : CodeLane<2, 15, 0x7B, 0x7F, 24> {
  /// A NaN keeps its sign, not its payload, which the device's conversions drop.
  static float decode(uint32_t code) {
    const float value = to_float(F16{static_cast<uint16_t>(code << 8)});
    return (code & 0x7F) > 0x7C ? float_of(kNanBits | (code & 0x80) << 24) : value;
  }
};
template <>
struct Code<QuantFormat::e2m1> : CodeLane<1, 1, 0x7, 0x7, 28> {
  /// Stochastic rounding with 8 random bits: adds k/256 of the step below the kept bits, then truncates. Below 1 the fixed-point value
  /// 1 + |x| has the step at the same place.
  static uint32_t encode_stochastic(float x, uint32_t k) {
    const uint32_t bits = bits_of(x), magnitude = bits & kMagnitude;
    const uint32_t fixed = bits_of(1.0F + float_of(magnitude)) - (127U << 23);
    const uint32_t code = magnitude < 127U << 23 ? (fixed + (k << 14)) >> 22 : ((magnitude + (k << 14)) >> 22) - (126U << 1);
    return finish(code, bits);
  }
  static float decode(uint32_t code) {
    const uint32_t magnitude = code & 0x7;
    const uint32_t subnormal = bits_of(static_cast<float>(static_cast<int32_t>(magnitude)) * 0.5F);
    const uint32_t normal = (magnitude << 22) + (126U << 23);
    return float_of((magnitude < 2 ? subnormal : normal) | (code & 0x8) << 28);
  }
};

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

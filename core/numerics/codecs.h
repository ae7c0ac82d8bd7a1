// Bit-exact conversions between fp32 and the narrow formats: bf16, fp16, E4M3, E5M2, E2M1 (element formats) and E8M0 (a scale format).
// These functions are the specification, written to be read; kernels have faster ones that tests hold equal to these.
//
// encode_*: round to nearest, ties to even. E4M3, E5M2 and E2M1 saturate to the largest finite value, Inf included, and lose the sign of
// NaN (E2M1 has no NaN: it gets +6). bf16 and fp16 overflow to Inf and keep a quiet NaN with its sign. Zeros keep their sign everywhere.
// decode_*: exact.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace mbt {

/// A sign-magnitude binary format of 1 + exponent_bits + mantissa_bits bits.
struct FloatFormat {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  uint32_t largest;  ///< code of the largest finite value; with has_inf the next code is Inf; codes above are NaN
  bool has_inf;
  bool saturates;  ///< encode gives `largest` where an IEEE format gives Inf
  uint32_t nan;    ///< code that encode gives for NaN
};

inline constexpr FloatFormat kFp32{8, 23, 127, 0x7F7FFFFF, true, false, 0x7FC00000};
inline constexpr FloatFormat kBf16{8, 7, 127, 0x7F7F, true, false, 0x7FC0};
inline constexpr FloatFormat kFp16{5, 10, 15, 0x7BFF, true, false, 0x7E00};
inline constexpr FloatFormat kE4m3{4, 3, 7, 0x7E, false, true, 0x7F};
inline constexpr FloatFormat kE5m2{5, 2, 15, 0x7B, true, true, 0x7F};
inline constexpr FloatFormat kE2m1{2, 1, 1, 0x7, false, true, 0x7};

/// 2^e as fp32, -149 <= e <= 127.
constexpr float exp2_f32(int e) { return std::bit_cast<float>(e < -126 ? 1u << (e + 149) : static_cast<uint32_t>(e + 127) << 23); }

constexpr bool is_nan_bits(uint32_t f32_bits) { return (f32_bits & 0x7FFFFFFF) > 0x7F800000; }

/// The code of the magnitude nearest to |x|, without sign; x is not NaN.
template <FloatFormat F>
constexpr uint32_t encode_magnitude(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x) & 0x7FFFFFFF;
  const int field = std::max(static_cast<int>(bits >> 23), 1);
  const uint32_t significand = (bits & 0x7FFFFF) | (bits >> 23 != 0 ? 0x800000u : 0u);  // |x| = significand * 2^(field - 150)
  // The target's unit in the last place belongs to x's binade, but is never below that of the target's subnormals.
  const int exponent = std::max(field - 127, 1 - F.bias);
  const int shift = std::min(23 - F.mantissa_bits + exponent - (field - 127), 31);  // 31: far below half a unit
  const uint32_t quotient = significand >> shift;
  const uint32_t remainder = significand & ((1u << shift) - 1);
  const uint32_t half = shift > 0 ? 1u << (shift - 1) : 0;
  const bool up = shift > 0 && (remainder > half || (remainder == half && (quotient & 1) != 0));
  // The quotient's leading bit, where there is one, adds 1 to the exponent field; so does a carry out of the mantissa.
  const uint32_t code = (static_cast<uint32_t>(exponent + F.bias - 1) << F.mantissa_bits) + quotient + (up ? 1 : 0);
  return std::min(code, F.saturates ? F.largest : F.largest + 1);
}

template <FloatFormat F>
constexpr uint32_t encode(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = bits >> 31 << (F.exponent_bits + F.mantissa_bits);
  if (is_nan_bits(bits)) return F.saturates ? F.nan : F.nan | sign;
  return encode_magnitude<F>(x) | sign;
}

template <FloatFormat F>
constexpr float decode(uint32_t code) {
  const uint32_t magnitude = code & ((1u << (F.exponent_bits + F.mantissa_bits)) - 1);
  const bool negative = (code >> (F.exponent_bits + F.mantissa_bits) & 1) != 0;
  const uint32_t mantissa = magnitude & ((1u << F.mantissa_bits) - 1);
  const int field = static_cast<int>(magnitude >> F.mantissa_bits);
  float value = 0;
  if (magnitude > F.largest) {
    value = F.has_inf && magnitude == F.largest + 1 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else if (field == 0) {
    value = static_cast<float>(mantissa) * exp2_f32(1 - F.bias - F.mantissa_bits);
  } else {
    const float significand = static_cast<float>(mantissa + (1u << F.mantissa_bits)) * exp2_f32(-F.mantissa_bits);  // in [1, 2)
    value = significand * exp2_f32(field - F.bias);
  }
  return negative ? -value : value;
}

constexpr uint16_t encode_fp16(float x) { return static_cast<uint16_t>(encode<kFp16>(x)); }
constexpr uint8_t encode_e4m3(float x) { return static_cast<uint8_t>(encode<kE4m3>(x)); }
constexpr uint8_t encode_e5m2(float x) { return static_cast<uint8_t>(encode<kE5m2>(x)); }
constexpr uint8_t encode_e2m1(float x) { return static_cast<uint8_t>(encode<kE2m1>(x)); }
constexpr float decode_fp16(uint16_t code) { return decode<kFp16>(code); }
constexpr float decode_e4m3(uint8_t code) { return decode<kE4m3>(code); }
constexpr float decode_e5m2(uint8_t code) { return decode<kE5m2>(code); }
constexpr float decode_e2m1(uint8_t code) { return decode<kE2m1>(code); }

/// bf16 is the upper half of fp32, which makes the general rule two lines.
constexpr uint16_t encode_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (is_nan_bits(bits)) return static_cast<uint16_t>(bits >> 31 << 15 | kBf16.nan);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
constexpr float decode_bf16(uint16_t code) { return std::bit_cast<float>(static_cast<uint32_t>(code) << 16); }
constexpr float round_to_bf16(float x) { return decode_bf16(encode_bf16(x)); }

// -- E8M0: 2^(code - 127), 255 is NaN; neither zero nor sign -----------------------------------------------------------------------------

/// The smallest power of two >= v, for v >= 0; 0 and tiny values give 2^-127, large ones and Inf 2^127, NaN 255.
constexpr uint8_t e8m0_roundup(float v) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  if (is_nan_bits(bits)) return 255;
  if (bits == 0x7F800000) return 254;
  const uint32_t field = bits >> 23, mantissa = bits & 0x7FFFFF;
  const bool up = mantissa > 0 && field != 254 && !(field == 0 && mantissa <= 0x400000);
  return static_cast<uint8_t>(field + (up ? 1 : 0));
}
constexpr float decode_e8m0(uint8_t e) { return e == 255 ? std::numeric_limits<float>::quiet_NaN() : exp2_f32(e - 127); }
/// The multiplier that goes with the scale e: 2^(127 - e). NaN for 255.
constexpr float exp2_rcp(uint8_t e) { return e == 255 ? std::numeric_limits<float>::quiet_NaN() : exp2_f32(127 - e); }

}  // namespace mbt

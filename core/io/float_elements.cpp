#include "core/io/float_elements.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/numerics/codecs.h"

namespace mbt {
namespace {

/// As decode_fp16, but for the bits of a NaN.
float decode_half(uint16_t code) {
  const uint32_t sign = uint32_t{code} >> 15 << 31, exponent = code >> 10 & 31, mantissa = code & 0x3FF;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | mantissa << 13);
  if (exponent == 0) return decode_fp16(code);
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

/// The upper bits of a NaN, never those of an infinity.
template <int kDropped>
uint16_t narrow_nan(uint32_t bits, uint32_t exponent_and_sign, uint32_t mantissa_mask, uint32_t quiet) {
  const uint32_t mantissa = bits >> kDropped & mantissa_mask;
  return static_cast<uint16_t>(exponent_and_sign | (mantissa == 0 ? quiet : mantissa));
}

uint16_t to_half(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return is_nan_bits(bits) ? narrow_nan<13>(bits, bits >> 31 << 15 | 0x7C00, 0x3FF, 0x200) : encode_fp16(x);
}

uint16_t to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return is_nan_bits(bits) ? narrow_nan<16>(bits, bits >> 31 << 15 | 0x7F80, 0x7F, 0x40) : encode_bf16(x);
}

template <class Encode>
int64_t encode_16_bits(const float* from, int64_t count, char* out, uint32_t infinity, Encode encode) {
  int64_t first_beyond = -1;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t code = encode(from[i]);
    std::memcpy(out + 2 * i, &code, 2);
    if ((code & 0x7FFFu) == infinity && first_beyond < 0 && std::isfinite(from[i])) first_beyond = i;
  }
  return first_beyond;
}

template <class Decode>
void decode_16_bits(const char* from, int64_t count, float* out, Decode decode) {
  for (int64_t i = 0; i < count; ++i) {
    uint16_t code = 0;
    std::memcpy(&code, from + 2 * i, 2);
    out[i] = decode(code);
  }
}

/// `exponent`: its bits, all of which are set in infinities and NaNs. In blocks without a branch inside, which the compiler makes vectors
/// of.
template <class Code>
int64_t first_with(Code exponent, const char* from, int64_t count) {
  constexpr int64_t kBlock = 4096;
  Code codes[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    std::memcpy(codes, from + begin * static_cast<int64_t>(sizeof(Code)), static_cast<size_t>(size) * sizeof(Code));
    Code any = 0;
    for (int64_t i = 0; i < size; ++i) any = static_cast<Code>(any | ((codes[i] & exponent) == exponent ? 1 : 0));
    if (any == 0) continue;
    return begin + (std::find_if(codes, codes + size, [&](Code c) { return (c & exponent) == exponent; }) - codes);
  }
  return -1;
}

}  // namespace

void decode_elements(SafetensorsType type, const char* from, int64_t count, float* out) {
  switch (type) {
    case SafetensorsType::F32: std::memcpy(out, from, static_cast<size_t>(count) * sizeof(float)); break;
    case SafetensorsType::BF16: decode_16_bits(from, count, out, decode_bf16); break;
    case SafetensorsType::F16: decode_16_bits(from, count, out, decode_half); break;
    default: throw Error(fmt::format("elements of type {}, expected F32, BF16 or F16", name_of(type)));
  }
}

int64_t encode_elements(SafetensorsType type, const float* from, int64_t count, char* out) {
  switch (type) {
    case SafetensorsType::F32: std::memcpy(out, from, static_cast<size_t>(count) * sizeof(float)); return -1;
    case SafetensorsType::BF16: return encode_16_bits(from, count, out, 0x7F80, to_bf16);
    case SafetensorsType::F16: return encode_16_bits(from, count, out, 0x7C00, to_half);
    default: throw Error(fmt::format("elements of type {}, expected F32, BF16 or F16", name_of(type)));
  }
}

int64_t first_not_finite(SafetensorsType type, const char* from, int64_t count) {
  switch (type) {
    case SafetensorsType::F32: return first_with<uint32_t>(0x7F800000, from, count);
    case SafetensorsType::BF16: return first_with<uint16_t>(0x7F80, from, count);
    case SafetensorsType::F16: return first_with<uint16_t>(0x7C00, from, count);
    default: throw Error(fmt::format("elements of type {}, expected F32, BF16 or F16", name_of(type)));
  }
}

}  // namespace mbt

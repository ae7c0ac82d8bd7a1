// The formats of the codes of quantized tensors, one row per format. Width, largest value, codec and name follow from the row. To add a
// format, add its row here and its FloatFormat in codecs.h; README.md lists the other places.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/numerics/codecs.h"

namespace mbt {

enum class QuantFormat : uint8_t { e4m3, e5m2, e2m1 };

struct QuantFormatRow {
  std::string_view name;
  FloatFormat layout;
};
inline constexpr QuantFormatRow kQuantFormats[] = {{"e4m3", kE4m3}, {"e5m2", kE5m2}, {"e2m1", kE2m1}};  // in QuantFormat's order

constexpr const FloatFormat& layout_of(QuantFormat f) { return kQuantFormats[static_cast<size_t>(f)].layout; }
constexpr std::string_view name_of(QuantFormat f) { return kQuantFormats[static_cast<size_t>(f)].name; }
/// Bits of a code, sign included: 8 for FP8, 4 for FP4.
constexpr int bits_of(QuantFormat f) { return 1 + layout_of(f).exponent_bits + layout_of(f).mantissa_bits; }
constexpr bool is_fp8(QuantFormat f) { return bits_of(f) == 8; }

/// f.template operator()<F>() with the format as a template argument.
template <class F>
constexpr auto with_format(QuantFormat format, F&& f) {
  switch (format) {
    case QuantFormat::e4m3: return f.template operator()<QuantFormat::e4m3>();
    case QuantFormat::e5m2: return f.template operator()<QuantFormat::e5m2>();
    case QuantFormat::e2m1: break;
  }
  return f.template operator()<QuantFormat::e2m1>();
}
/// The same for a format of 8 bits, so that nothing is compiled for others.
template <class F>
void with_fp8(QuantFormat format, F&& f) {
  with_format(format, [&]<QuantFormat kFormat>() {
    if constexpr (is_fp8(kFormat)) f.template operator()<kFormat>();
  });
}

constexpr uint8_t encode(QuantFormat format, float x) {
  return with_format(format, [x]<QuantFormat F>() { return static_cast<uint8_t>(encode<layout_of(F)>(x)); });
}
constexpr float decode(QuantFormat format, uint8_t code) {
  return with_format(format, [code]<QuantFormat F>() { return decode<layout_of(F)>(code); });
}
/// The largest finite value: 448, 57344, 6.
constexpr float max_of(QuantFormat f) { return decode(f, static_cast<uint8_t>(layout_of(f).largest)); }

}  // namespace mbt

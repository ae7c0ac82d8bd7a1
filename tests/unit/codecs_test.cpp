// Casts against vectors that are written down here and against an independent rule: the nearest value of an enumerated table, found in
// double arithmetic, ties to the even code.
#include "core/numerics/codecs.h"

#include <cmath>
#include <vector>

#include "core/numerics/quant_format.h"
#include "tests/support/catch.h"

namespace mbt::test::codecs_test {

namespace {

float bits(uint32_t b) { return std::bit_cast<float>(b); }
const float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

/// The values of the non-negative finite codes 0..largest, from the definition of the format.
std::vector<double> values_of(int mantissa_bits, int bias, int largest) {
  std::vector<double> values;
  for (int code = 0; code <= largest; ++code) {
    const int field = code >> mantissa_bits, mantissa = code & ((1 << mantissa_bits) - 1);
    const double fraction = std::ldexp(mantissa, -mantissa_bits);
    values.push_back(field == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, field - bias));
  }
  return values;
}

/// Nearest, ties to the even code, saturating.
uint32_t nearest(const std::vector<double>& values, double magnitude) {
  const auto above = std::lower_bound(values.begin(), values.end(), magnitude);
  if (above == values.end()) return static_cast<uint32_t>(values.size() - 1);
  const auto high = static_cast<uint32_t>(above - values.begin());
  if (high == 0 || values[high] == magnitude) return high;
  const double up = values[high] - magnitude, down = magnitude - values[high - 1];
  if (up != down) return up < down ? high : high - 1;
  return high % 2 == 0 ? high : high - 1;
}

template <class Encode>
void check_over_all_bf16(const std::vector<double>& values, uint32_t sign, uint32_t nan, Encode encode) {
  int wrong = 0;
  for (uint32_t b = 0; b < 0x10000; ++b) {
    for (uint32_t low : {0U, 1U, 0x8000U, 0xFFFFU}) {  // bf16 values and some fp32 values beside them
      const float x = bits(b << 16 | low);
      const uint32_t want = std::isnan(x) ? nan : nearest(values, std::fabs(double{x})) | (std::signbit(x) ? sign : 0);
      wrong += encode(x) != want;
    }
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("E4M3, E5M2 and E2M1 casts equal the nearest table entry for every bf16 value", "[codecs]") {
  check_over_all_bf16(values_of(3, 7, 0x7E), 0x80, 0x7F, encode_e4m3);
  check_over_all_bf16(values_of(2, 15, 0x7B), 0x80, 0x7F, encode_e5m2);
  check_over_all_bf16(values_of(1, 1, 0x7), 0x8, 0x7, encode_e2m1);
}

TEST_CASE("every row of the formats' table describes its codec", "[codecs]") {
  for (size_t i = 0; i < std::size(kQuantFormats); ++i) {
    const auto f = static_cast<QuantFormat>(i);
    INFO(name_of(f));
    const FloatFormat layout = layout_of(f);
    const std::vector<double> values = values_of(layout.mantissa_bits, layout.bias, static_cast<int>(layout.largest));
    check_over_all_bf16(values, 1U << (bits_of(f) - 1), layout.nan, [&](float x) { return encode(f, x); });
    for (size_t code = 0; code < values.size(); ++code) REQUIRE(decode(f, static_cast<uint8_t>(code)) == values[code]);
    CHECK(max_of(f) == values.back());
  }
  CHECK(max_of(QuantFormat::e4m3) == 448);
  CHECK(max_of(QuantFormat::e5m2) == 57344);
  CHECK(max_of(QuantFormat::e2m1) == 6);
  CHECK((name_of(QuantFormat::e4m3) == "e4m3" && name_of(QuantFormat::e5m2) == "e5m2" && name_of(QuantFormat::e2m1) == "e2m1"));
  CHECK((is_fp8(QuantFormat::e4m3) && is_fp8(QuantFormat::e5m2) && bits_of(QuantFormat::e2m1) == 4));
}

TEST_CASE("fp16 and bf16 casts round to nearest even and overflow to infinity", "[codecs]") {
  const std::vector<double> halves = values_of(10, 15, 0x7C00);  // one more binade's first value stands for Inf
  const std::vector<double> bf16s = values_of(7, 127, 0x7F80);
  int wrong = 0;
  for (uint32_t b = 0; b < 0x7F80; ++b) {
    for (uint32_t low : {0U, 1U, 0x1000U, 0x3000U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      const float x = bits(b << 16 | low);
      wrong += encode_fp16(x) != nearest(halves, x) || encode_fp16(-x) != (nearest(halves, x) | 0x8000);
      wrong += encode_bf16(x) != nearest(bf16s, x) || encode<kBf16>(x) != encode_bf16(x);
    }
  }
  CHECK(wrong == 0);
  CHECK(encode_bf16(kInf) == 0x7F80);
  CHECK(encode_fp16(-kInf) == 0xFC00);
  CHECK(encode_bf16(kNan) == 0x7FC0);
  CHECK(encode_fp16(kNan) == 0x7E00);
  CHECK(encode<kBf16>(-kNan) == encode_bf16(-kNan));
}

TEST_CASE("every code decodes to its value and encodes back", "[codecs]") {
  for (uint32_t code = 0; code < 0x10000; ++code) {
    const auto half = static_cast<uint16_t>(code);
    if (!std::isnan(decode_fp16(half))) CHECK(encode_fp16(decode_fp16(half)) == half);
    if (!std::isnan(decode_bf16(half))) CHECK(encode_bf16(decode_bf16(half)) == half);
    if (code > 0xFF) continue;
    const auto byte = static_cast<uint8_t>(code);
    if ((code & 0x7F) <= 0x7E) CHECK(encode_e4m3(decode_e4m3(byte)) == byte);
    if ((code & 0x7F) <= 0x7B) CHECK(encode_e5m2(decode_e5m2(byte)) == byte);
    if (code < 16) CHECK(encode_e2m1(decode_e2m1(byte)) == byte);
  }
  CHECK(std::isnan(decode_e4m3(0x7F)));
  CHECK(std::isnan(decode_e5m2(0xFD)));
  CHECK(decode_e5m2(0xFC) == -kInf);
  CHECK(decode_e4m3(0x7E) == 448);
  CHECK(decode_e5m2(0x7B) == 57344);
  CHECK(decode_e4m3(0x01) == 0x1p-9F);
  CHECK(decode_e5m2(0x01) == 0x1p-16F);
}

TEST_CASE("E4M3 cast vectors", "[codecs]") {
  CHECK(encode_e4m3(bits(0x3a800000)) == 0x00);
  CHECK(encode_e4m3(bits(0x3a800001)) == 0x01);
  CHECK(encode_e4m3(-0x1p-10F) == 0x80);
  CHECK(encode_e4m3(3 * 0x1p-10F) == 0x02);
  CHECK(encode_e4m3(0x1p-6F) == 0x08);
  CHECK(encode_e4m3(0.1F) == 0x1D);
  CHECK(encode_e4m3(1.0625F) == 0x38);
  CHECK(encode_e4m3(1.1875F) == 0x3A);
  CHECK(encode_e4m3(17) == 0x58);
  CHECK(encode_e4m3(19) == 0x5A);
  CHECK(encode_e4m3(-3.3F) == 0xC5);
  CHECK(encode_e4m3(248) == 0x78);
  for (float x : {432.0F, 448.0F, 464.0F, 480.0F, 1e9F, kInf}) CHECK(encode_e4m3(x) == 0x7E);
  CHECK(encode_e4m3(-kInf) == 0xFE);
  CHECK(encode_e4m3(-kNan) == 0x7F);
}

TEST_CASE("E5M2 cast vectors", "[codecs]") {
  CHECK(encode_e5m2(bits(0x37000000)) == 0x00);
  CHECK(encode_e5m2(bits(0x37000001)) == 0x01);
  CHECK(encode_e5m2(0x1p-14F) == 0x04);
  CHECK(encode_e5m2(0.1F) == 0x2E);
  CHECK(encode_e5m2(1.125F) == 0x3C);
  CHECK(encode_e5m2(1.375F) == 0x3E);
  CHECK(encode_e5m2(bits(0x3eca57a8)) == 0x36);
  CHECK(encode_e4m3(bits(0x3eca57a8)) == 0x2D);
  CHECK(encode_e5m2(53248) == 0x7A);
  for (float x : {57344.0F, 61440.0F, 65536.0F, 1e9F, kInf}) CHECK(encode_e5m2(x) == 0x7B);
  CHECK(encode_e5m2(-kInf) == 0xFB);
  CHECK(encode_e5m2(-kNan) == 0x7F);
}

TEST_CASE("E2M1 cast vectors", "[codecs]") {
  const std::pair<float, int> vectors[] = {{0.25F, 0x0},  {0.2500001F, 0x1}, {0.5F, 0x1},  {0.75F, 0x2}, {1.25F, 0x2},
                                           {1.75F, 0x4},  {2.5F, 0x4},       {2.51F, 0x5}, {3.5F, 0x6},  {5.0F, 0x6},
                                           {5.01F, 0x7},  {100.0F, 0x7},     {kInf, 0x7},  {kNan, 0x7},  {-0.0F, 0x8},
                                           {-0.25F, 0x8}, {-0.75F, 0xA},     {-5.0F, 0xE}, {-5.5F, 0xF}, {-kInf, 0xF}};
  for (const auto& [x, code] : vectors) {
    INFO(x);
    CHECK(encode_e2m1(x) == code);
  }
}

TEST_CASE("E8M0 rounds up to a power of two", "[codecs]") {
  CHECK(e8m0_roundup(0) == 0);
  CHECK(e8m0_roundup(kInf) == 254);
  CHECK(e8m0_roundup(kNan) == 255);
  CHECK(e8m0_roundup(bits(0x00400000)) == 0);
  CHECK(e8m0_roundup(bits(0x00400001)) == 1);
  CHECK(e8m0_roundup(0x1p-126F) == 1);
  CHECK(e8m0_roundup(1.0F) == 127);
  CHECK(e8m0_roundup(std::nextafter(1.0F, 2.0F)) == 128);
  CHECK(e8m0_roundup(std::numeric_limits<float>::max()) == 254);
  int wrong = 0;
  for (uint32_t b = 1; b < 0x7F80; ++b) {  // the smallest code whose value is not below v
    const float v = bits(b << 16);
    int code = 0;
    while (code < 254 && std::ldexp(1.0, code - 127) < double{v}) ++code;
    wrong += e8m0_roundup(v) != code;
  }
  CHECK(wrong == 0);
  for (int e = 0; e < 255; ++e) {
    CHECK(double{decode_e8m0(static_cast<uint8_t>(e))} == std::ldexp(1.0, e - 127));
    CHECK(double{exp2_rcp(static_cast<uint8_t>(e))} == std::ldexp(1.0, 127 - e));
  }
  CHECK(std::bit_cast<uint32_t>(exp2_rcp(254)) == 0x00400000);
  CHECK(std::isnan(decode_e8m0(255)));
  CHECK(std::isnan(exp2_rcp(255)));
}

TEST_CASE("rounding through bf16 differs from the direct cast", "[codecs]") {
  for (uint32_t b = 0x3f880001; b <= 0x3f888000; b += 0x7FF) {
    CHECK(encode_e4m3(bits(b)) == 0x39);
    CHECK(encode_e4m3(round_to_bf16(bits(b))) == 0x38);
  }
  CHECK(encode_bf16(1.00390625F) == 0x3f80);
  CHECK(encode_bf16(1.01171875F) == 0x3f82);
  CHECK(encode_bf16(bits(0x7f7f8000)) == 0x7f80);
  CHECK(encode_fp16(65519) == 0x7bff);
  CHECK(encode_fp16(65520) == 0x7c00);
  CHECK(encode_fp16(2.98e-8F) == 0);
}

static_assert(encode_e4m3(1.0F) == 0x38 && decode_e5m2(0x3C) == 1.0F && encode_fp16(1.0F) == 0x3C00, "codecs work at compile time");

}  // namespace mbt::test::codecs_test

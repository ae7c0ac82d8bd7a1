#include "core/numerics/scaling.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "tests/support/catch.h"

namespace mbt::test::scaling_test {

namespace {

float from_bits(uint32_t b) { return std::bit_cast<float>(b); }
uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }
const float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

/// Every finite positive bf16 value and random fp32 values: amaxes to try.
std::vector<float> many_amaxes() {
  std::vector<float> v;
  for (uint32_t b = 1; b < 0x7F80; ++b) v.push_back(from_bits(b << 16));
  std::mt19937 random(1);
  for (int i = 0; i < 100000; ++i) v.push_back(from_bits(static_cast<uint32_t>(random() % 0x7F800000)));
  return v;
}

struct DelayedStep {
  float amax, quantized_with;
  std::vector<float> history;
  float scale;
};

void check_sequence(const std::vector<DelayedStep>& steps, size_t length, float fp8_max, int64_t margin, bool window_max) {
  std::vector<float> history(length, 0.0F);
  float scale = 1;
  int step = 0;
  for (const DelayedStep& s : steps) {
    INFO("step " << ++step);
    CHECK(scale == s.quantized_with);
    history[0] = std::max(history[0], s.amax);
    update_delayed_scale(history, scale, fp8_max, margin, window_max);
    CHECK(history == s.history);
    CHECK(scale == s.scale);
  }
}

}  // namespace

TEST_CASE("amax drops NaN and keeps infinity", "[scaling]") {
  CHECK(amax_of(std::vector<float>{kNan, 1}) == 1);
  CHECK(amax_of(std::vector<float>{1, kNan}) == 1);
  CHECK(amax_of(std::vector<float>{kNan, kNan}) == 0);
  CHECK(amax_of(std::vector<float>{-kInf, kNan, 3}) == kInf);
  CHECK(amax_of({}) == 0);
}

TEST_CASE("delayed scaling, window maximum over four steps", "[scaling]") {
  check_sequence({{2, 1, {0, 0, 0, 2}, 224},
                  {1, 224, {0, 0, 2, 1}, 224},
                  {4, 224, {0, 2, 1, 4}, 112},
                  {0.5, 112, {0, 1, 4, 0.5}, 112},
                  {0.5, 112, {0, 4, 0.5, 0.5}, 112},
                  {0.5, 112, {0, 0.5, 0.5, 0.5}, 112},
                  {0, 112, {0, 0.5, 0.5, 0.5}, 112},
                  {kInf, 112, {0, 0.5, 0.5, kInf}, 112},
                  {1, 112, {0, 0.5, kInf, 1}, 112},
                  {1, 112, {0, kInf, 1, 1}, 112},
                  {1, 112, {0, 1, 1, 1}, 112},
                  {1, 112, {0, 1, 1, 1}, 448}},
                 4, max_of(QuantFormat::e4m3), 0, true);
}

TEST_CASE("delayed scaling, most recent amax", "[scaling]") {
  check_sequence({{2, 1, {0}, 224},
                  {1, 224, {0}, 448},
                  {0, 448, {0}, 448},
                  {4, 448, {0}, 112},
                  {kInf, 112, {0}, 112},
                  {3, 112, {0}, from_bits(0x43155555)}},
                 1, max_of(QuantFormat::e4m3), 0, false);
  check_sequence({{2, 1, {0}, 112}}, 1, max_of(QuantFormat::e4m3), 1, false);
  check_sequence({{8, 1, {0}, 7168}}, 1, max_of(QuantFormat::e5m2), 0, false);
  check_sequence({{1e-40F, 1, {0}, kFloatMax}}, 1, max_of(QuantFormat::e4m3), 0, false);
}

TEST_CASE("tensorwise scale", "[scaling]") {
  struct Row {
    float amax;
    uint32_t scale, inverse, e5m2_scale, e5m2_inverse;
  };
  const Row rows[] = {{1, bits(448.0F), 0x3b124925, bits(57344.0F), 0x37924925},
                      {0.1F, 0x458c0000, 0x396a0ea1, bits(573440.0F), 0x35ea0ea1},
                      {3, 0x43155555, 0x3bdb6db7, 0x46955555, 0x385b6db7},
                      {6, 0x42955555, 0x3c5b6db7, 0, 0},
                      {447, 0x3f80494e, 0x3f7f6db8, 0, 0},
                      {448, bits(1.0F), bits(1.0F), 0, 0},
                      {from_bits(0x3a83126f), 0x48dabfff, 0x3615cbed, 0x4c5abfff, 0x3295cbed},
                      {0x1p-126F, 0x7f7fffff, 0x00200000, 0, 0},
                      {1e-40F, 0x7f7fffff, 0x00200000, 0, 0},
                      {kFloatMax, 0x03e00001, 0x7b124924, 0, 0},
                      {0, bits(1.0F), bits(1.0F), bits(1.0F), bits(1.0F)},
                      {kInf, bits(1.0F), bits(1.0F), bits(1.0F), bits(1.0F)},
                      {kNan, bits(1.0F), bits(1.0F), bits(1.0F), bits(1.0F)}};
  for (const Row& r : rows) {
    INFO("amax " << r.amax);
    const float scale = current_scale(r.amax, max_of(QuantFormat::e4m3), false);
    CHECK(bits(scale) == r.scale);
    CHECK(bits(1.0F / scale) == r.inverse);
    if (r.e5m2_scale == 0) continue;
    const float e5m2 = current_scale(r.amax, max_of(QuantFormat::e5m2), false);
    CHECK(bits(e5m2) == r.e5m2_scale);
    CHECK(bits(1.0F / e5m2) == r.e5m2_inverse);
  }
  CHECK(current_scale(3, max_of(QuantFormat::e4m3), true) == 128);
}

TEST_CASE("blockwise scale is a power of two", "[scaling]") {
  const std::pair<float, float> e4m3[] = {{1.0F, 256.0F},
                                          {1.75F, 256.0F},
                                          {from_bits(0x3fe00001), 128.0F},
                                          {3.0F, 128.0F},
                                          {3.5F, 128.0F},
                                          {from_bits(0x40600001), 64.0F},
                                          {4.0F, 64.0F},
                                          {7.0F, 64.0F},
                                          {7.03125F, 32.0F},
                                          {448.0F, 1.0F},
                                          {449.0F, 0.5F},
                                          {896.0F, 0.5F},
                                          {0.0F, 1.0F},
                                          {kInf, 1.0F},
                                          {kNan, 1.0F},
                                          {1e-40F, 0x1p127F},
                                          {from_bits(0x7F7F0000), 0x1p-120F}};
  for (const auto& [amax, scale] : e4m3) {
    INFO("amax " << amax);
    CHECK(blockwise_scale(amax, max_of(QuantFormat::e4m3)) == scale);
  }
  const std::pair<float, float> e5m2[] = {{1.0F, 32768.0F}, {1.75F, 32768.0F}, {2.0F, 16384.0F}, {57344.0F, 1.0F}, {60000.0F, 0.5F}};
  for (const auto& [amax, scale] : e5m2) CHECK(blockwise_scale(amax, max_of(QuantFormat::e5m2)) == scale);
  CHECK(bits(1.0F / 0x1p127F) == 0x00400000);
}

TEST_CASE("mxfp8 exponent", "[scaling]") {
  struct Row {
    float amax;
    int e4m3, e5m2;
  };
  const Row rows[] = {{0, 0, 0},
                      {1, 119, 112},
                      {1.75F, 119, 112},
                      {from_bits(0x3fe00001), 120, 113},
                      {2, 120, 113},
                      {3.5F, 120, 113},
                      {3.515625F, 121, 114},
                      {4, 121, 114},
                      {7, 121, 114},
                      {7.03125F, 122, 115},
                      {447, 127, 120},
                      {448, 127, 120},
                      {450, 128, 121},
                      {512, 128, 121},
                      {896, 128, 121},
                      {0x1p-126F, 0, 0},
                      {from_bits(0x7f7f0000), 247, 240},
                      {kInf, 254, 254}};
  for (const Row& r : rows) {
    INFO("amax " << r.amax);
    CHECK(mxfp8_exponent(r.amax, max_of(QuantFormat::e4m3)) == r.e4m3);
    CHECK(mxfp8_exponent(r.amax, max_of(QuantFormat::e5m2)) == r.e5m2);
  }
}

TEST_CASE("mxfp8 and blockwise choose the same power of two, and neither saturates", "[scaling]") {
  int differ = 0, saturated = 0, not_tight = 0;
  for (float amax : many_amaxes()) {
    for (float max : {max_of(QuantFormat::e4m3), max_of(QuantFormat::e5m2)}) {
      const float scale = blockwise_scale(amax, max);
      const uint8_t e = mxfp8_exponent(amax, max);
      differ += 1.0F / scale != decode_e8m0(e) && amax >= 0x1p-110F;
      saturated += double{amax} * scale > max || double{amax} * exp2_rcp(e) > max;
      not_tight += e > 0 && double{amax} * exp2_rcp(e) * 2 <= max;
    }
  }
  CHECK(differ == 0);
  CHECK(saturated == 0);
  CHECK(not_tight == 0);
}

TEST_CASE("nvfp4 two-level scale", "[scaling]") {
  const float encode_scale = nvfp4_global_encode_scale(6);
  CHECK(encode_scale == 448);
  const Nvfp4BlockScale s = nvfp4_block_scale(1.5F, encode_scale);
  CHECK(s.code == 0x6E);
  CHECK(s.multiplier == 4);
  CHECK(nvfp4_block_scale(1.5F / 1000, encode_scale).code == 0x1E);
  CHECK(nvfp4_block_scale(1.5F / 1000, encode_scale).multiplier == 4096);
  CHECK(nvfp4_block_scale(0, encode_scale).code == 0);
  CHECK(nvfp4_block_scale(0, encode_scale).multiplier == kFloatMax);
  CHECK(nvfp4_block_scale(1e-7F, encode_scale).code == 0);
  CHECK(nvfp4_global_encode_scale(0) == 1);
  CHECK(nvfp4_global_encode_scale(kInf) == 1);
  CHECK(nvfp4_global_encode_scale(1e-40F) == kFloatMax);
  // Two factors, each rounded, are within one unit of the product's vector.
  CHECK(std::abs(static_cast<int>(bits(nvfp4_gemm_factor(6) * nvfp4_gemm_factor(3))) - 0x36272f05) <= 1);
}

TEST_CASE("the random Hadamard transform", "[scaling]") {
  using Group = std::array<float, 16>;
  Group ones{}, ramp{}, unit{};
  ones.fill(1);
  std::iota(ramp.begin(), ramp.end(), 0.0F);
  unit[3] = 1;
  hadamard16(ones);
  hadamard16(ramp);
  hadamard16(unit);
  CHECK(ones == Group{-1, 0, 1, 0, 1, 0, -1, 0, 1, 2, 1, 0, 1, 0, 1, -2});
  CHECK(ramp == Group{-14.5, -7.5, 6.5, -0.5, 6.5, -0.5, -14.5, 8.5, 7.5, 14.5, 0.5, 1.5, 0.5, -2.5, 9.5, -15.5});
  const float q = 0.25F;
  CHECK(unit == Group{-q, q, q, -q, -q, q, q, -q, -q, q, q, -q, -q, q, q, -q});
}

TEST_CASE("the Hadamard transform keeps inner products", "[scaling]") {
  std::mt19937 random(2);
  std::uniform_int_distribution<int> small(-8, 8);  // sums stay exact in bf16
  for (int trial = 0; trial < 100; ++trial) {
    std::array<float, 16> x{}, y{};
    for (auto& v : x) v = static_cast<float>(small(random));
    for (auto& v : y) v = static_cast<float>(small(random));
    const float before = std::inner_product(x.begin(), x.end(), y.begin(), 0.0F);
    hadamard16(x);
    hadamard16(y);
    CHECK(std::inner_product(x.begin(), x.end(), y.begin(), 0.0F) == before);
  }
}

TEST_CASE("stochastic rounding rounds up as often as the distance says", "[scaling]") {
  auto ups = [](float t, float up) {
    int n = 0;
    for (int k = 0; k < 256; ++k) n += decode_e2m1(encode_e2m1_stochastic(t, static_cast<uint8_t>(k))) == up;
    return n;
  };
  CHECK(ups(0.1F, 0.5F) == 51);
  CHECK(ups(0.3F, 0.5F) == 153);
  CHECK(ups(1.2F, 1.5F) == 102);
  CHECK(ups(2.2F, 3) == 51);
  CHECK(ups(4.5F, 6) == 64);
  CHECK(ups(-4.5F, -6) == 64);
  CHECK(ups(5.9F, 6) == 243);
  CHECK(ups(7, 6) == 256);
  CHECK(ups(kInf, 6) == 256);
  CHECK(ups(kNan, 6) == 256);
  CHECK(ups(1.5F, 1.5F) == 256);
  CHECK(encode_e2m1_stochastic(-0.0F, 255) == 0x8);
}

}  // namespace mbt::test::scaling_test

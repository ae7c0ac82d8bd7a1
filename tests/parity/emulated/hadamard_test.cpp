// The device's Hadamard transform has the bits of the sums in double, and takes fp64 only for values that are rare.
#include "kernels/cuda/device/hadamard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <random>

#include "core/numerics/codecs.h"
#include "tests/support/catch.h"

namespace mbt::test::hadamard_test {
namespace {

using cuda::HadamardSums;
using Column = std::array<float, 16>;

struct Row {
  float values[4];
  float operator[](int k) const { return values[k]; }
};

/// The transform of column 1 of rows whose other columns must not matter; checked against the sums in double, bit by bit.
HadamardSums checked(const Column& x) {
  Row rows[16];
  double v[16];
  for (size_t r = 0; r < 16; ++r) {
    rows[r] = {{NAN, x[r], INFINITY, 1.0F}};
    v[r] = (kHadamardNegative >> r & 1) != 0 ? -double{x[r]} : double{x[r]};
  }
  cuda::butterflies(v);
  float got[16];
  const HadamardSums how = cuda::hadamard_column(rows, 1, got);
  bool is_same = true;
  for (size_t r = 0; r < 16; ++r) {
    const auto want = static_cast<float>(0.25 * v[r]);
    is_same = is_same && (std::isnan(want) ? std::isnan(got[r]) : std::bit_cast<uint32_t>(got[r]) == std::bit_cast<uint32_t>(want));
  }
  CAPTURE(x);
  CHECK(is_same);
  return how;
}

Column random_column(std::mt19937& random, double spread) {
  Column x;
  for (float& value : x)
    value = round_to_bf16(static_cast<float>(std::normal_distribution<double>()(random) *
                                             std::exp2(std::uniform_real_distribution<double>(-spread, 0)(random))));
  return x;
}

}  // namespace

TEST_CASE("ordinary values are transformed in fp32, the bits of double") {
  std::mt19937 random(1);
  std::map<HadamardSums, int> ways;
  for (int i = 0; i < 20000; ++i) ++ways[checked(random_column(random, 0))];
  CHECK(ways[HadamardSums::fp32] > 19000);
  CHECK(ways[HadamardSums::fp64] == 0);
}

TEST_CASE("values up to 30 binades apart take pairs of fp32, the bits of double") {
  std::mt19937 random(2);
  std::map<HadamardSums, int> ways;
  for (const double spread : {8.0, 16.0, 24.0})
    for (int i = 0; i < 10000; ++i) ++ways[checked(random_column(random, spread))];
  CHECK(ways[HadamardSums::fp32_pairs] > 15000);
  CHECK(ways[HadamardSums::fp64] < 300);
}

TEST_CASE("any values have the bits of double: zeros of both signs, cancelling pairs, the ends of the range, infinity and NaN") {
  std::mt19937 random(3);
  std::map<HadamardSums, int> ways;
  const auto choose = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  for (int i = 0; i < 60000; ++i) {
    const int scale = choose(250) - 125;
    Column x = random_column(random, 10.0 * choose(6));
    for (float& value : x) value = round_to_bf16(std::ldexp(value, scale));
    for (int n = choose(17); n > 0; --n) x[static_cast<size_t>(choose(16))] = choose(2) == 0 ? 0.0F : -0.0F;
    for (int n = choose(4); n > 0; --n) x[static_cast<size_t>(choose(16))] = -x[static_cast<size_t>(choose(16))];
    if (choose(20) == 0) x[static_cast<size_t>(choose(16))] = choose(2) == 0 ? INFINITY : -INFINITY;
    if (choose(50) == 0) x[static_cast<size_t>(choose(16))] = NAN;
    ++ways[checked(x)];
  }
  for (const HadamardSums way : {HadamardSums::fp32, HadamardSums::fp32_pairs, HadamardSums::fp64}) CHECK(ways[way] > 5000);
}

TEST_CASE("values of fp16 and fp32 have the bits of double too") {
  std::mt19937 random(4);
  for (int i = 0; i < 20000; ++i) {
    Column wide, half;
    for (size_t r = 0; r < 16; ++r) {
      wide[r] = static_cast<float>(std::normal_distribution<double>()(random));
      half[r] = decode_fp16(encode_fp16(wide[r] * std::ldexp(1.0F, static_cast<int>(random() % 20) - 14)));
    }
    checked(wide);
    CHECK(checked(half) != HadamardSums::fp64);
  }
}

}  // namespace mbt::test::hadamard_test

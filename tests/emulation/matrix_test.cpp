// The fragment layouts of mma and ldmatrix against plain matrices, asynchronous copies, and the conversions against the codecs.
#include <bit>
#include <cmath>
#include <limits>

#include "core/numerics/codecs.h"
#include "tests/emulation/device_array.h"
#include "tests/emulation/kernels/matrix.h"
#include "tests/support/catch.h"

namespace mbt::test::matrix_test {

using namespace mbt::cuda;

namespace {

/// Small multiples of 1/8, all different in rows and columns: exact in both formats, and so are the sums.
float value_at(int i) { return static_cast<float>(i * 37 % 61 - 30) / 8; }

std::vector<uint16_t> matrix(MmaInput input, int elements, int seed) {
  std::vector<uint16_t> codes;
  for (int i = 0; i < elements; ++i)
    codes.push_back(input == MmaInput::bf16 ? encode_bf16(value_at(i + seed)) : encode_fp16(value_at(i + seed)));
  return codes;
}

std::vector<float> product() {
  std::vector<float> d;
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float sum = 1;  // what d holds before
      for (int k = 0; k < 16; ++k) sum += value_at(row * 16 + k) * value_at(k * 8 + column + 7);
      d.push_back(sum);
    }
  }
  return d;
}

}  // namespace

TEST_CASE("mma.m16n8k16 is a matrix product, fragments as the PTX ISA lays them out", "[matrix]") {
  const MmaInput input = GENERATE(MmaInput::bf16, MmaInput::f16);
  const DeviceArray<uint16_t> a(matrix(input, 256, 0)), b(matrix(input, 128, 7));
  const DeviceArray<float> by_hand(std::vector<float>(128, 1.0F)), by_ldmatrix(std::vector<float>(128, 1.0F));
  launch_mma_by_hand(input, by_hand.data(), a.data(), b.data());
  launch_mma_by_ldmatrix(input, by_ldmatrix.data(), a.data(), b.data());
  CHECK(by_hand.values() == product());
  CHECK(by_ldmatrix.values() == product());
}

TEST_CASE("ldmatrix gives each lane two elements of each matrix, transposed or not", "[matrix]") {
  const int form = GENERATE(0, 1, 2, 3);
  std::vector<uint16_t> host;
  for (uint16_t i = 0; i < 256; ++i) host.push_back(i);  // matrix 64 + row 8 + column
  const DeviceArray<uint16_t> m(host);
  const DeviceArray<uint32_t> r(128);
  launch_ldmatrix(form, r.data(), m.data());
  const auto values = r.values();
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t row = lane / 4, column = lane % 4 * 2;
      const uint32_t straight = (64 * i + 8 * row + column) | (64 * i + 8 * row + column + 1) << 16;
      const uint32_t transposed = (64 * i + 8 * column + row) | (64 * i + 8 * (column + 1) + row) << 16;
      CHECK(values[lane * 4 + i] == (form >= 2 && i >= 2 ? 0 : form % 2 == 1 ? transposed : straight));
    }
  }
}

TEST_CASE("asynchronous copies arrive group by group, zeros where nothing is read", "[matrix]") {
  std::vector<float> host(1024);
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i);
  const DeviceArray<float> x(host), y(1024);
  launch_pipelined_copy(y.data(), x.data(), 1024, 640);
  std::fill(host.begin() + 640, host.end(), 0.0F);
  CHECK(y.values() == host);
}

TEST_CASE("conversions round as the codecs do and saturate FP8", "[matrix]") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> host{0.0F, -0.0F,    1.0F,     -1.0625F, 447.9F, 464.0F, 1e30F, -inf,
                          inf,  57344.0F, 65536.0F, 2e-3F,    1e-5F,  -3e-8F, nan,   -nan};
  for (int i = 0; i < 400; ++i) host.push_back(std::ldexp(1.0F + static_cast<float>(i % 97) / 97, i % 50 - 30));
  const auto pairs = static_cast<int>(host.size() / 2);
  const DeviceArray<float> x(host);
  const DeviceArray<uint32_t> out(host.size() / 2 * 5);
  launch_conversions(out.data(), x.data(), pairs);
  const auto values = out.values();
  for (size_t i = 0; i < host.size(); ++i) {
    const float v = host[i];
    const auto half = [&](size_t word) { return values[i / 2 * 5 + word] >> (i % 2 * 16) & 0xFFFF; };
    const uint32_t codes = values[i / 2 * 5] >> (i % 2 * 8);
    CHECK((codes & 0xFF) == encode_e4m3(v));
    CHECK((codes >> 16 & 0xFF) == encode_e5m2(v));
    CHECK(half(1) == (std::isnan(v) ? 0x7FFFU : encode_bf16(v)));
    CHECK(half(2) == (std::isnan(v) ? 0x7FFFU : encode_fp16(v)));
    CHECK(half(3) == (std::isnan(v) ? 0x7FFFU : encode_fp16(decode_e4m3(encode_e4m3(v)))));
    CHECK(half(4) == (std::isnan(v) ? 0x7FFFU : encode_fp16(decode_e5m2(encode_e5m2(v)))));
  }
}

}  // namespace mbt::test::matrix_test

// The CPU's quantize against the element-by-element reference (tests/support/quantize_reference.h) and the vectors of the numerics
// reference.
#include "kernels/cpu/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <utility>

#include "core/numerics/scaling.h"
#include "core/quant/dequantize.h"
#include "kernels/cpu/loops/quantize.h"
#include "tests/support/catch.h"
#include "tests/support/fp8_formats.h"
#include "tests/support/quantize_reference.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace mbt::test::quantize_test {

using namespace mbt::testing;

namespace {

float bits(uint32_t b) { return std::bit_cast<float>(b); }
uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }
const float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

constexpr QuantFormat e4m3 = QuantFormat::e4m3, e5m2 = QuantFormat::e5m2, e2m1 = QuantFormat::e2m1;
using enum QuantScaling;

std::vector<QuantSpec> all_specs() {
  std::vector<QuantSpec> specs;
  for (QuantFormat f : test::fp8_formats()) {
    specs.push_back({.format = f, .scaling = delayed});
    specs.push_back({.format = f, .scaling = tensorwise});
    specs.push_back({.format = f, .scaling = tensorwise, .power_of_two_scale = true});
    specs.push_back({.format = f, .scaling = blockwise});
    specs.push_back({.format = f, .scaling = blockwise, .is_2d = true});
    specs.push_back({.format = f, .scaling = mxfp8});
  }
  specs.push_back({.format = e2m1, .scaling = nvfp4});
  specs.push_back({.format = e2m1, .scaling = nvfp4, .is_2d = true});
  specs.push_back({.format = e2m1, .scaling = nvfp4, .hadamard_columnwise = true});
  specs.push_back({.format = e2m1, .scaling = nvfp4, .stochastic_rounding = true, .hadamard_columnwise = true});
  return specs;
}

std::string describe(const QuantSpec& s) {
  return fmt::format("{} {}{}{}{}{}", name_of(s.scaling), name_of(s.format), s.is_2d ? " 2d" : "",
                     s.stochastic_rounding ? " stochastic" : "", s.hadamard_columnwise ? " hadamard" : "",
                     s.power_of_two_scale ? " pow2" : "");
}

/// A matrix in one of the act dtypes, and what it is as fp32.
struct Matrix {
  int64_t rows, cols;
  DType dtype;
  std::vector<float> values;
  std::vector<uint16_t> narrow;

  Matrix(int64_t r, int64_t c, DType t, std::vector<float> v) : rows(r), cols(c), dtype(t), values(std::move(v)) {
    if (t == DType::f32) return;
    for (float& x : values) {
      narrow.push_back(t == DType::bf16 ? encode_bf16(x) : encode_fp16(x));
      x = t == DType::bf16 ? decode_bf16(narrow.back()) : decode_fp16(narrow.back());
    }
  }
  ConstTensorView view() const {
    return {dtype == DType::f32 ? static_cast<const void*>(values.data()) : narrow.data(), dtype, {rows, cols}};
  }
};

struct Quantized {
  QuantSpec spec;
  OwnedCopy row, column;
  float amax = 0;
  QuantTensorView view{};
};

struct Options {
  bool rowwise = true, columnwise = true;
  float scale = 1;
  DType round_to = DType::f32;
  uint64_t seed = 7, stream = 3;
  const uint64_t* pass = nullptr;
};

/// Runs the kernel; copies that share codes alias, as the contract asks.
Quantized run(const Matrix& m, const QuantSpec& spec, const Options& o = {}) {
  Quantized r{.spec = spec, .row = {spec, m.rows, m.cols, false}, .column = {spec, m.rows, m.cols, true}};
  r.view = {.spec = spec, .rows = m.rows, .cols = m.cols, .scale = &o.scale, .amax = &r.amax};
  const bool shares = spec.columnwise_shares_codes();
  if (o.rowwise) r.view.rowwise = r.row.view();
  if (o.columnwise) r.view.columnwise = shares && o.rowwise ? r.row.view() : r.column.view();
  cpu::quantize({.x = m.view(),
                 .to = {.q = r.view, .random_seed = o.seed, .random_stream = o.stream, .random_pass = o.pass},
                 .round_to = o.round_to});
  if (o.columnwise && o.rowwise && shares) r.column = r.row;
  return r;
}

OwnedCopy expected(const Matrix& m, const QuantSpec& spec, bool columnwise, const Options& o = {}) {
  return reference_quantize({.x = m.values,
                             .rows = m.rows,
                             .cols = m.cols,
                             .spec = spec,
                             .columnwise = columnwise,
                             .delayed_scale = o.scale,
                             .seed = o.seed,
                             .stream = o.stream});
}

/// Values of very different size, with some zeros, NaN, infinities and subnormals.
std::vector<float> wild_values(int64_t n, uint32_t seed, bool with_inf) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) {
    const auto kind = random() % 64;
    x = normal(random) * std::exp2(static_cast<float>(static_cast<int>(random() % 24) - 16));
    if (kind == 0) x = 0;
    if (kind == 1) x = -0.0F;
    if (kind == 2) x = bits(static_cast<uint32_t>(random() % 0x00800000));  // fp32 subnormal
    if (kind == 3 && with_inf) x = kNan;
    if (kind == 4 && with_inf && random() % 64 == 0) x = -kInf;
  }
  return v;
}

std::vector<float> gaussian(int64_t n, uint32_t seed, float size = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, size);
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) x = normal(random);
  return v;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](float x, float y) { return bits(x) == bits(y) || (std::isnan(x) && std::isnan(y)); });
}

}  // namespace

TEST_CASE("codes and scales equal the reference for every spec, dtype and odd shape", "[quantize]") {
  const std::pair<int64_t, int64_t> shapes[] = {{1, 1}, {3, 5}, {16, 16}, {17, 31}, {33, 130}, {130, 257}, {48, 1100}, {303, 300}};
  for (const auto& [rows, cols] : shapes) {
    for (DType dtype : {DType::bf16, DType::f16, DType::f32}) {
      for (bool with_inf : {false, true}) {
        const Matrix m(rows, cols, dtype, wild_values(rows * cols, static_cast<uint32_t>(rows), with_inf));
        for (const QuantSpec& spec : all_specs()) {
          INFO(describe(spec) << " of " << name_of(dtype) << " [" << rows << "," << cols << "]" << (with_inf ? " with inf" : ""));
          const Options o{.scale = 3.7F};
          const Quantized q = run(m, spec, o);
          const OwnedCopy row = expected(m, spec, false, o), column = expected(m, spec, true, o);
          REQUIRE((q.row.codes == row.codes));
          REQUIRE((q.row.scale_inv == row.scale_inv));
          REQUIRE((q.column.codes == (spec.columnwise_shares_codes() ? row : column).codes));
          REQUIRE((q.column.scale_inv == column.scale_inv));
          REQUIRE(q.row.global_amax == row.global_amax);
          REQUIRE(q.column.global_amax == column.global_amax);
          REQUIRE(q.amax == amax_of(m.values));
        }
      }
    }
  }
}

TEST_CASE("one copy alone is the same as one of two", "[quantize]") {
  const Matrix m(70, 200, DType::bf16, gaussian(70 * 200, 1));
  for (const QuantSpec& spec : all_specs()) {
    INFO(describe(spec));
    const Quantized both = run(m, spec);
    CHECK((run(m, spec, {.columnwise = false}).row == both.row));
    CHECK((run(m, spec, {.rowwise = false}).column == both.column));
  }
}

TEST_CASE("every bf16 value under several scales gets the reference's code", "[quantize]") {
  std::vector<float> all(0x10000);
  for (uint32_t b = 0; b < 0x10000; ++b) all[b] = bits(b << 16);
  const Matrix m(256, 256, DType::bf16, all);
  const Matrix wide(256, 256, DType::f32, all);
  for (QuantFormat f : test::fp8_formats()) {
    const QuantSpec spec{.format = f, .scaling = delayed};
    for (float scale : {1.0F, 3.7F, 0x1p-100F, 0x1p100F, 448.0F / 3, kFloatMax, 1e-38F}) {
      INFO(name_of(f) << " scale " << scale);
      const OwnedCopy want = expected(m, spec, false, {.scale = scale});
      CHECK((run(m, spec, {.columnwise = false, .scale = scale}).row == want));
      CHECK((run(wide, spec, {.columnwise = false, .scale = scale}).row == want));
    }
  }
  for (const QuantSpec& spec : all_specs()) CHECK((run(m, spec).row == expected(m, spec, false)));
}

TEST_CASE("an f32 tensor rounded to the model's dtype first has the codes of the rounded tensor", "[quantize]") {
  const std::vector<float> values = wild_values(40 * 300, 5, true);
  const Matrix wide(40, 300, DType::f32, values);
  for (DType t : {DType::bf16, DType::f16}) {
    const Matrix narrow(40, 300, t, values);
    for (const QuantSpec& spec : all_specs()) {
      INFO(describe(spec));
      const Quantized a = run(wide, spec, {.round_to = t}), b = run(narrow, spec);
      CHECK((a.row == b.row));
      CHECK((a.column == b.column));
      CHECK(a.amax == b.amax);
    }
  }
}

TEST_CASE("one tensor, four ways", "[quantize]") {
  std::vector<float> x;
  for (uint32_t b : {0x3dcd, 0xbe80, 0x3f00, 0x3f80, 0xc000, 0x4040, 0x3b45, 0xba38}) x.push_back(bits(b << 16));
  const Matrix m(1, 8, DType::bf16, x);
  using Codes = std::vector<uint8_t>;
  const Quantized a = run(m, {.format = e4m3, .scaling = tensorwise});
  CHECK(a.row.codes == Codes{0x57, 0xe1, 0x69, 0x71, 0xf9, 0x7e, 0x2e, 0x9d});
  CHECK(bits(a.row.scale_f32(0)) == 0x3bdb6db7);
  const std::vector<float> values = dequantize(a.view, false);
  CHECK(values[0] == Approx(0.10044643).epsilon(1e-7));
  CHECK(values[5] == 3.0F);
  CHECK(run(m, {.format = e5m2, .scaling = tensorwise}).row.codes == Codes{0x67, 0xed, 0x71, 0x75, 0xf9, 0x7b, 0x53, 0xcb});
  const Codes pow2{0x55, 0xe0, 0x68, 0x70, 0xf8, 0x7c, 0x2c, 0x9c};
  const Quantized b = run(m, {.format = e4m3, .scaling = blockwise});
  CHECK(b.row.codes == pow2);
  CHECK(b.row.scale_f32(0) == 1.0F / 128);
  const Quantized c = run(m, {.format = e4m3, .scaling = mxfp8});
  CHECK(c.row.codes == pow2);
  CHECK(c.row.scale_inv[0] == 120);
}

TEST_CASE("blockwise vectors", "[quantize]") {
  std::vector<float> ramp(128);
  for (int i = 0; i < 128; ++i) ramp[static_cast<size_t>(i)] = static_cast<float>(i + 1);
  const Quantized q = run(Matrix(1, 128, DType::bf16, ramp), {.format = e4m3, .scaling = blockwise});
  CHECK(q.row.scale_f32(0) == 0.5F);
  const std::pair<size_t, int> codes[] = {{1, 0x40},  {16, 0x60}, {17, 0x60},  {18, 0x61},  {19, 0x62},
                                          {33, 0x68}, {34, 0x68}, {100, 0x74}, {127, 0x78}, {128, 0x78}};
  for (const auto& [x, code] : codes) CHECK(q.row.codes[x - 1] == code);

  std::vector<float> rows(128 * 128);
  for (int r = 0; r < 128; ++r) std::fill_n(rows.begin() + r * 128, 128, round_to_bf16(std::ldexp(1.1F, -r)));
  const Matrix m(128, 128, DType::bf16, rows);
  const Quantized one = run(m, {.format = e4m3, .scaling = blockwise}), two = run(m, {.format = e4m3, .scaling = blockwise, .is_2d = true});
  const std::pair<size_t, float> scales[] = {{0, 256.0F}, {3, 2048.0F}, {7, 32768.0F}};
  for (const auto& [r, scale] : scales) {
    CHECK(one.row.scale_f32(r) == 1 / scale);
    CHECK(one.row.codes[r * 128] == 0x79);
  }
  CHECK(two.row.scale_f32(0) == 1.0F / 256);
  CHECK(two.row.codes[0] == 0x79);
  CHECK(two.row.codes[3 * 128] == 0x61);
  CHECK(two.row.codes[7 * 128] == 0x41);
}

TEST_CASE("1D x 2D blockwise product from decoded operands", "[quantize]") {
  std::vector<float> x(256), w(256);
  std::fill_n(x.begin(), 128, 1.0F);
  std::fill_n(x.begin() + 128, 128, 3.0F);
  std::fill_n(w.begin(), 128, 0.5F);
  std::fill_n(w.begin() + 128, 128, -2.0F);
  const Quantized qx = run(Matrix(1, 256, DType::bf16, x), {.format = e4m3, .scaling = blockwise});
  const Quantized qw = run(Matrix(1, 256, DType::bf16, w), {.format = e4m3, .scaling = blockwise, .is_2d = true});
  CHECK(qx.row.codes[0] == 0x78);
  CHECK(qx.row.codes[128] == 0x7C);
  CHECK(qw.row.codes[0] == 0x78);
  CHECK(qw.row.codes[128] == 0xF8);
  std::vector<float> a(256), b(256);
  cpu::decode_to_f32(qx.view, false, a.data());
  cpu::decode_to_f32(qw.view, false, b.data());
  float sum = 0;
  for (size_t i = 0; i < 256; ++i) sum += a[i] * b[i];
  CHECK(sum * cpu::gemm_alpha(qx.view, false) * cpu::gemm_alpha(qw.view, false) == -704);
}

TEST_CASE("mxfp8 block vectors", "[quantize]") {
  std::vector<float> x(32);
  for (int i = 0; i < 32; ++i) x[static_cast<size_t>(i)] = static_cast<float>((i - 16) * 0.37);
  const QuantSpec spec{.format = e4m3, .scaling = mxfp8};
  const Quantized q = run(Matrix(1, 32, DType::bf16, x), spec);
  CHECK(q.row.scale_inv[0] == 121);
  CHECK(q.row.codes == std::vector<uint8_t>{0xfc, 0xfb, 0xfa, 0xfa, 0xf9, 0xf8, 0xf7, 0xf5, 0xf4, 0xf2, 0xf1,
                                            0xef, 0xec, 0xe9, 0xe4, 0xdc, 0x00, 0x5c, 0x64, 0x69, 0x6c, 0x6f,
                                            0x71, 0x72, 0x74, 0x75, 0x77, 0x78, 0x79, 0x7a, 0x7a, 0x7b});
  std::vector<float> tiny(32);
  tiny[0] = 0x1p-130F;
  tiny[1] = 0x1p-127F;
  tiny[2] = 0x1p-126F;
  const Quantized t = run(Matrix(1, 32, DType::bf16, tiny), spec);
  CHECK(t.row.scale_inv[0] == 0);
  CHECK((std::vector<uint8_t>(t.row.codes.begin(), t.row.codes.begin() + 4) == std::vector<uint8_t>{0x20, 0x38, 0x40, 0x00}));
  const std::vector<float> back = dequantize(t.view, false);
  CHECK(back == tiny);
}

TEST_CASE("nvfp4 block vectors", "[quantize]") {
  const float block[16] = {0, .1F, -.2F, .3F, -.4F, .5F, -.6F, .7F, -.8F, .9F, -1, 1.1F, -1.2F, 1.3F, -1.4F, 1.5F};
  std::vector<float> x(4 * 16);
  for (size_t i = 0; i < 16; ++i) {
    x[i] = block[i];
    x[16 + i] = block[i] / 1000;
    x[48 + i] = 1e-7F;
  }
  x.resize(5 * 16, 6.0F);
  const Quantized q = run(Matrix(5, 16, DType::bf16, x), {.format = e2m1, .scaling = nvfp4});
  const std::vector<uint8_t> codes{0x0, 0x1, 0xA, 0x2, 0xB, 0x4, 0xC, 0x5, 0xD, 0x6, 0xE, 0x6, 0xE, 0x7, 0xF, 0x7};
  CHECK(q.row.global_amax == 6);
  CHECK(q.row.scale_inv == std::vector<uint8_t>{0x6E, 0x1E, 0x00, 0x00, 0x7E});
  CHECK((std::vector<uint8_t>(q.row.codes.begin(), q.row.codes.begin() + 16) == codes));
  CHECK((std::vector<uint8_t>(q.row.codes.begin() + 16, q.row.codes.begin() + 32) == codes));
  CHECK((std::vector<uint8_t>(q.row.codes.begin() + 32, q.row.codes.begin() + 48) == std::vector<uint8_t>(16, 0)));
  CHECK((std::vector<uint8_t>(q.row.codes.begin() + 48, q.row.codes.begin() + 64) == std::vector<uint8_t>(16, 7)));
  const std::vector<float> values = dequantize(q.view, false);
  CHECK(*std::max_element(values.begin(), values.begin() + 16) == 1.5000001F);
  CHECK(values[48] == 0);
}

TEST_CASE("per-tensor FP8 product, forward", "[quantize]") {
  const Quantized x = run(Matrix(2, 4, DType::bf16, {.5F, -1, 2, 3, 1.5F, .25F, -.75F, .1F}), {.format = e4m3, .scaling = tensorwise});
  const Quantized w = run(Matrix(2, 4, DType::bf16, {1, .3F, -.6F, .2F, -.4F, .9F, .05F, 1.2F}), {.format = e4m3, .scaling = tensorwise});
  CHECK(x.row.codes == std::vector<uint8_t>{0x69, 0xf1, 0x79, 0x7e, 0x76, 0x61, 0xee, 0x57});
  CHECK(w.row.codes == std::vector<uint8_t>{0x7c, 0x6e, 0xf6, 0x69, 0xf1, 0x7a, 0x59, 0x7e});
  CHECK(bits(x.row.scale_f32(0)) == 0x3bdb6db7);
  CHECK(bits(w.row.scale_f32(0)) == 0x3b300000);
  std::vector<uint16_t> a(8), b(8);
  cpu::decode_to_bf16(x.view, false, a.data());
  cpu::decode_to_bf16(w.view, false, b.data());
  const float alpha = cpu::gemm_alpha(x.view, false) * cpu::gemm_alpha(w.view, false);
  const float accumulators[] = {-20736, 149440, 116216, -16032};
  const uint16_t results[] = {0xbebf, 0x402c, 0x4006, 0xbe94};
  for (size_t i = 0; i < 4; ++i) {
    float sum = 0;
    for (size_t k = 0; k < 4; ++k) sum += decode_bf16(a[i / 2 * 4 + k]) * decode_bf16(b[i % 2 * 4 + k]);
    CHECK(sum == accumulators[i]);
    CHECK(encode_bf16(sum * alpha) == results[i]);
  }
}

TEST_CASE("dequantize and decode give back what codes and scales stand for", "[quantize]") {
  const Matrix m(67, 530, DType::bf16, wild_values(67 * 530, 9, true));
  const auto n = static_cast<size_t>(67 * 530);
  for (const QuantSpec& spec : all_specs()) {
    for (bool columnwise : {false, true}) {
      INFO(describe(spec) << (columnwise ? " column-wise" : " row-wise"));
      const Quantized q = run(m, spec, {.scale = 3.7F});
      std::vector<float> decoded(n);
      std::vector<uint16_t> narrow(n);
      const std::vector<float> values = dequantize(q.view, columnwise);
      cpu::decode_to_f32(q.view, columnwise, decoded.data());
      cpu::decode_to_bf16(q.view, columnwise, narrow.data());
      int inexact = 0, wrong = 0;
      const float alpha = cpu::gemm_alpha(q.view, columnwise);
      for (size_t i = 0; i < n; ++i) {
        if (std::isnan(values[i])) continue;
        inexact += decode_bf16(narrow[i]) != decoded[i] && std::fabs(decoded[i]) >= 0x1p-126F;
        inexact += encode_bf16(decoded[i]) != narrow[i];
        wrong += std::isfinite(alpha) && std::fabs(decoded[i] * alpha - values[i]) > 4e-7F * std::fabs(values[i]);
      }
      CHECK(inexact == 0);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("every code decodes at both widths", "[quantize]") {
  const float one = 1;
  for (QuantFormat f : test::fp8_formats()) {
    OwnedCopy copy({.format = f, .scaling = delayed}, 1, 256, false);
    for (size_t i = 0; i < 256; ++i) copy.codes[i] = static_cast<uint8_t>(i);
    std::memcpy(copy.scale_inv.data(), &one, 4);
    const QuantTensorView q{.spec = {.format = f, .scaling = delayed}, .rows = 1, .cols = 256, .rowwise = copy.view()};
    std::vector<float> wide(256), want(256);
    std::vector<uint16_t> narrow(256);
    cpu::decode_to_f32(q, false, wide.data());
    cpu::decode_to_bf16(q, false, narrow.data());
    for (size_t i = 0; i < 256; ++i) want[i] = f == e4m3 ? decode_e4m3(static_cast<uint8_t>(i)) : decode_e5m2(static_cast<uint8_t>(i));
    CHECK(same_bits(wide, want));
    for (size_t i = 0; i < 256; ++i) CHECK((narrow[i] == encode_bf16(want[i]) || std::isnan(want[i])));
  }
}

TEST_CASE("amax is staged, and only when asked for", "[quantize]") {
  const Matrix m(4, 40, DType::bf16, gaussian(160, 3));
  for (const QuantSpec& spec : all_specs()) {
    Quantized q = run(m, spec);
    CHECK(q.amax == amax_of(m.values));
    q.amax = 100;
    const float scale = 1;
    q.view.scale = &scale;
    q.view.amax = &q.amax;
    q.view.columnwise = {};
    q.view.rowwise = q.row.view();
    cpu::quantize({.x = m.view(), .to = {.q = q.view}});
    CHECK(q.amax == 100);
    q.amax = 0;
    cpu::quantize({.x = m.view(), .to = {.q = q.view, .stage_amax = false}});
    CHECK(q.amax == 0);
  }
}

TEST_CASE("a delayed update moves every column by its own history", "[quantize]") {
  // Column 0: E4M3 with a staged amax; column 1: nothing recorded; column 2: E5M2.
  std::vector<float> history{2, 0, 8, 0, 0, 0, 4, 0, 0}, scale{1, 3, 1};
  const std::vector<float> max{448, 448, 57344};
  cpu::delayed_scaling_update({.history = {history.data(), DType::f32, {3, 3}},
                               .scale = {scale.data(), DType::f32, {3}},
                               .fp8_max = {max.data(), DType::f32, {3}},
                               .margin = 0,
                               .algorithm = AmaxAlgorithm::max});
  CHECK(scale == std::vector<float>{112, 3, 7168});
  CHECK(history == std::vector<float>{0, 0, 0, 4, 0, 0, 2, 0, 8});
}

TEST_CASE("stochastic rounding is unbiased, reproducible, and independent between copies and streams", "[quantize]") {
  const QuantSpec spec{.format = e2m1, .scaling = nvfp4, .stochastic_rounding = true};
  std::vector<float> x(64 * 512, 1.1F);
  for (size_t i = 0; i < x.size(); i += 16) x[i] = 6;  // amax of every block along rows: enc = 1
  const Matrix m(64, 512, DType::f32, x);
  const Quantized a = run(m, spec), b = run(m, spec), other = run(m, spec, {.stream = 4});
  CHECK((a.row == b.row));
  CHECK((a.column == b.column));
  CHECK(a.row.codes != other.row.codes);
  const uint64_t pass = 5;  // of which micro-batch: the upper bits of the stream
  const Quantized fifth = run(m, spec, {.stream = 3 + (pass << 24)}), same_fifth = run(m, spec, {.stream = 3, .pass = &pass});
  CHECK((fifth.row == same_fifth.row));
  CHECK((fifth.column == same_fifth.column));
  CHECK(fifth.row.codes != a.row.codes);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += i % 16 == 0 ? 0 : decode_e2m1(a.row.codes[i]);
  CHECK(sum / static_cast<double>(x.size() / 16 * 15) == Approx(1.1).epsilon(0.01));

  std::vector<float> square(16 * 16, 1.1F);
  for (size_t i = 0; i < 16; ++i) square[i * 17] = 6;  // the same multiplier along rows and columns
  const Quantized s = run(Matrix(16, 16, DType::f32, square), spec);
  CHECK(s.row.codes != s.column.codes);
}

TEST_CASE("MXFP8 of dequantized MXFP8 lowers exactly the scales whose block had room", "[quantize]") {
  const QuantSpec spec{.format = e4m3, .scaling = mxfp8};
  const Matrix m(256, 512, DType::bf16, gaussian(256 * 512, 11));
  const Quantized first = run(m, spec, {.columnwise = false});
  const std::vector<float> values = dequantize(first.view, false);
  const Quantized again = run(Matrix(256, 512, DType::bf16, values), spec, {.columnwise = false});
  int lowered = 0, wrong = 0;
  for (size_t k = 0; k < first.row.scale_inv.size(); ++k) {
    const float amax = amax_of(std::span(values).subspan(k * 32, 32));
    const bool has_room = amax <= 224 * decode_e8m0(first.row.scale_inv[k]);
    const int change = again.row.scale_inv[k] - first.row.scale_inv[k];
    lowered += change == -1;
    wrong += change != (has_room ? -1 : 0);
  }
  CHECK(wrong == 0);
  CHECK(lowered > 0);
}

TEST_CASE("blocks never saturate", "[quantize]") {
  const Matrix m(64, 256, DType::bf16, gaussian(64 * 256, 12, 1e3F));
  for (QuantScaling scaling : {blockwise, mxfp8}) {
    const Quantized q = run(m, {.format = e4m3, .scaling = scaling});
    const std::vector<float> values = dequantize(q.view, false);
    int far = 0;
    for (size_t i = 0; i < values.size(); ++i) far += std::fabs(values[i] - m.values[i]) > std::fabs(m.values[i]) / 16 + 1e-3F * 1e3F;
    CHECK(far == 0);
  }
}

TEST_CASE("contradictory specs are refused", "[quantize]") {
  const Matrix m(16, 16, DType::bf16, gaussian(256, 1));
  CHECK_THROWS_AS(run(m, {.format = e4m3, .scaling = nvfp4}), Error);
  CHECK_THROWS_AS(run(m, {.format = e2m1, .scaling = mxfp8}), Error);
  CHECK_THROWS_AS(run(m, {.format = e4m3, .scaling = mxfp8, .stochastic_rounding = true}), Error);
  CHECK_THROWS_AS(run(m, {.format = e2m1, .scaling = nvfp4, .is_2d = true, .hadamard_columnwise = true}), Error);
}

#ifdef _OPENMP
TEST_CASE("the number of threads does not change a bit", "[quantize]") {
  const Matrix m(300, 1200, DType::bf16, gaussian(300 * 1200, 21));
  const int before = omp_get_max_threads();
  for (const QuantSpec& spec : all_specs()) {
    omp_set_num_threads(1);
    const Quantized one = run(m, spec);
    omp_set_num_threads(3);
    const Quantized three = run(m, spec);
    CHECK((one.row == three.row));
    CHECK((one.column == three.column));
  }
  omp_set_num_threads(before);
}
#endif

#if defined(__x86_64__)
namespace {

/// The codes and scales of one tile, made by the loops of one level.
template <class Amax, class Encode, class Hadamard>
std::vector<uint8_t> tile_bytes(const Matrix& m, const QuantSpec& spec, bool columnwise, Amax amax, Encode encode, Hadamard hadamard) {
  const cpu::Source x{m.narrow.data(), cpu::SourceKind::bf16, m.cols};
  std::vector<float> transformed(16 * cpu::kTileCols);
  hadamard(x, 16, m.cols, transformed.data());
  const float global = bits(amax(x, m.rows, m.cols));
  OwnedCopy out(spec, m.rows, m.cols, columnwise);
  const cpu::RandomBits random{1, 2, 3, 4};
  const int64_t b = spec.block_size();
  encode({.x = x,
          .rows = m.rows,
          .cols = m.cols,
          .block_rows = columnwise || spec.is_2d ? b : 1,
          .block_cols = columnwise && !spec.is_2d ? 1 : b,
          .format = spec.format,
          .format_max = max_of(spec.format),
          .scaling = spec.scaling,
          .global_encode_scale = nvfp4_global_encode_scale(global),
          .codes = out.codes.data(),
          .codes_stride = m.cols,
          .scale_inv = out.scale_inv.data(),
          .scale_stride = quant_copy_shape(spec, m.rows, m.cols, columnwise).scale_cols,
          .random = spec.stochastic_rounding ? &random : nullptr});
  out.codes.insert(out.codes.end(), out.scale_inv.begin(), out.scale_inv.end());
  const auto* t = reinterpret_cast<const uint8_t*>(transformed.data());
  out.codes.insert(out.codes.end(), t, t + transformed.size() * 4);
  return out.codes;
}

}  // namespace

TEST_CASE("all instruction levels of this processor give the same bits", "[quantize]") {
  const Matrix m(100, 500, DType::bf16, wild_values(50000, 31, true));
  for (const QuantSpec& spec : all_specs()) {
    if (spec.is_per_tensor()) continue;
    for (bool columnwise : {false, true}) {
      INFO(describe(spec));
      const auto v2 = tile_bytes(m, spec, columnwise, cpu::v2::amax_bits, cpu::v2::encode_blocks, cpu::v2::hadamard_group);
      if (cpu::level() >= cpu::Level::v3)
        CHECK((v2 == tile_bytes(m, spec, columnwise, cpu::v3::amax_bits, cpu::v3::encode_blocks, cpu::v3::hadamard_group)));
      if (cpu::level() >= cpu::Level::v4)
        CHECK((v2 == tile_bytes(m, spec, columnwise, cpu::v4::amax_bits, cpu::v4::encode_blocks, cpu::v4::hadamard_group)));
    }
  }
}
#endif

}  // namespace mbt::test::quantize_test

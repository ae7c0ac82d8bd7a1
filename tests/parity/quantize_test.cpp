// Quantization on the device: codes, scales and amax are those of the CPU's backend, byte for byte, for every spec, shape and source.
#include <cuda_runtime.h>

#include <cmath>
#include <cstring>
#include <random>

#include "core/numerics/scaling.h"
#include "core/quant/dequantize.h"
#include "kernels/cpu/quantize.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/quantize/quantize_decode.h"
#include "kernels/kernels.h"
#include "tests/support/op_cases.h"
#include "tests/support/quantized.h"

namespace mbt::test::quantize_test {
namespace {

using enum QuantScaling;
using enum QuantFormat;

Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu", 1);
  return *backend;
}

struct Shape2 {
  int64_t rows, cols;
};
constexpr Shape2 kShapes[] = {{1, 1}, {33, 15}, {16, 48}, {128, 128}, {130, 257}, {257, 130}, {144, 272}};

struct Source {
  DType dtype, round_to;
};
constexpr Source kSources[] = {
    {DType::bf16, DType::f32}, {DType::f16, DType::f32}, {DType::f32, DType::f32}, {DType::f32, DType::bf16}, {DType::f32, DType::f16}};

template <class F>
void for_each_source(F f) {
  for (const Shape2& s : kShapes)
    for (const Source& source : kSources)
      for (int kind : {0, 1, 2}) {
        INFO(name_of(source.dtype) << " as " << name_of(source.round_to) << " [" << s.rows << "," << s.cols << "] kind " << kind);
        f(values(source.dtype, s.rows, s.cols, kind, static_cast<uint32_t>(s.rows)), s, source.round_to);
      }
}

/// launch_decode is no op of the backend: it is waited for here, before the host looks.
void decode(const QuantTensorView& q, bool columnwise, TensorView out) {
  cuda::Scratch scratch;
  cuda::launch_decode(q, columnwise, out, {nullptr, scratch, nullptr, 4});
  cuda::check(cudaDeviceSynchronize(), "waiting for launch_decode");
}

QuantizeArgs args_of(GuardedTensor& x, const Quantized& q, DType round_to, bool stage_amax = true) {
  return {.x = x, .to = {.q = q.view, .stage_amax = stage_amax, .random_seed = 7, .random_stream = 3}, .round_to = round_to};
}

}  // namespace

TEST_CASE("quantize: every byte is the CPU's") {
  for (const QuantSpec& spec : all_specs()) {
    INFO(describe(spec));
    for_each_source([&](GuardedTensor x, const Shape2& s, DType round_to) {
      Quantized want(spec, s.rows, s.cols, Copies::both), got(spec, s.rows, s.cols, Copies::both);
      cpu().quantize(args_of(x, want, round_to));
      backend().quantize(args_of(x, got, round_to));
      REQUIRE(got == want);
    });
  }
}

TEST_CASE("quantize: the micro-batch that stochastic rounding draws for is a value on the device") {
  const std::vector<uint64_t, TestAllocator<uint64_t>> pass(1, 5);
  for (const QuantSpec& spec : all_specs()) {
    if (!spec.stochastic_rounding) continue;
    INFO(describe(spec));
    GuardedTensor x = values(DType::bf16, 130, 257, 0, 5);
    Quantized want(spec, 130, 257, Copies::both), got(spec, 130, 257, Copies::both), first(spec, 130, 257, Copies::both);
    QuantizeArgs args = args_of(x, want, DType::f32);
    args.to.random_stream += pass[0] << 24;
    cpu().quantize(args);
    args = args_of(x, got, DType::f32);
    args.to.random_pass = pass.data();
    backend().quantize(args);
    CHECK(got == want);
    backend().quantize(args_of(x, first, DType::f32));
    CHECK_FALSE(first == got);
  }
}

TEST_CASE("quantize: one copy alone, amax not staged") {
  for (const QuantSpec& spec : all_specs()) {
    for (Copies copies : {Copies::rows, Copies::columns}) {
      INFO(describe(spec) << (copies == Copies::rows ? " rows" : " columns"));
      for (const Shape2& s : {Shape2{130, 257}, Shape2{64, 128}}) {
        GuardedTensor x = values(DType::bf16, s.rows, s.cols, 0, 5);
        Quantized want(spec, s.rows, s.cols, copies), got(spec, s.rows, s.cols, copies);
        cpu().quantize(args_of(x, want, DType::f32, false));
        backend().quantize(args_of(x, got, DType::f32, false));
        REQUIRE(got == want);
      }
    }
  }
}

TEST_CASE("quantize: a transposed column-wise copy holds the same codes") {
  for (const QuantSpec& spec : all_specs()) {
    if (spec.scaling == nvfp4) continue;
    INFO(describe(spec));
    for_each_source([&](GuardedTensor x, const Shape2& s, DType round_to) {
      Quantized want(spec, s.rows, s.cols, Copies::both);
      cpu().quantize(args_of(x, want, round_to));
      const bool shares = spec.columnwise_shares_codes();
      Bytes &want_codes = shares ? want.row_codes : want.column_codes, &want_scales = shares ? want.row_scales : want.column_scales;
      for (Copies copies : {Copies::both, Copies::columns}) {
        Quantized got(spec, s.rows, s.cols, copies, true);
        backend().quantize(args_of(x, got, round_to));
        if (copies == Copies::both) REQUIRE(got.row_codes == want.row_codes);
        if (copies == Copies::both) REQUIRE(got.row_scales == want.row_scales);
        REQUIRE(got.column_scales == want_scales);
        REQUIRE(got.scalars == want.scalars);
        bool same = got.column_codes.guards_intact();
        for (int64_t r = 0; r < s.rows; ++r)
          for (int64_t c = 0; c < s.cols; ++c) same = same && got.column_codes[c * s.rows + r] == want_codes[r * s.cols + c];
        REQUIRE(same);
      }
    });
  }
}

TEST_CASE("quantize: transposed codes are dequantized, and refused where they cannot be") {
  const QuantSpec spec{.format = e4m3, .scaling = tensorwise}, packed{.format = e2m1, .scaling = nvfp4};
  GuardedTensor x = values(DType::bf16, 3, 50, 0, 1);
  Quantized q(spec, 3, 50, Copies::both, true), wrong(packed, 3, 50, Copies::both, true);
  CHECK_THROWS_WITH(cpu().quantize(args_of(x, q, DType::f32)), ContainsSubstring("no transposed copy"));
  backend().quantize(args_of(x, q, DType::f32));
  CHECK(dequantize(q.view, true) == dequantize(q.view, false));
  std::vector<uint16_t> values(150);
  CHECK_THROWS_WITH(cpu::decode_to_bf16(q.view, true, values.data()), ContainsSubstring("transposed"));
  CHECK_THROWS_WITH(backend().quantize(args_of(x, wrong, DType::f32)), ContainsSubstring("can be transposed"));
}

TEST_CASE("decode: the CPU's bf16 values") {
  for (const QuantSpec& spec : all_specs()) {
    for (const Shape2& s : {Shape2{1, 1}, Shape2{33, 15}, Shape2{130, 257}, Shape2{144, 272}}) {
      INFO(describe(spec) << " [" << s.rows << "," << s.cols << "]");
      GuardedTensor x = values(DType::bf16, s.rows, s.cols, 1, 9);
      Quantized q(spec, s.rows, s.cols, Copies::both);
      cpu().quantize(args_of(x, q, DType::f32));
      for (bool columnwise : {false, true}) {
        GuardedTensor want = zeros(DType::bf16, {s.rows, s.cols}), got = want;
        cpu::decode_to_bf16(q.view, columnwise, want.view().as<uint16_t>());
        decode(q.view, columnwise, got);
        REQUIRE(got.same_bits(want));
      }
      if (spec.scaling == nvfp4) continue;
      GuardedTensor want = zeros(DType::bf16, {s.rows, s.cols}), got = want;
      Quantized transposed(spec, s.rows, s.cols, Copies::columns, true);
      backend().quantize(args_of(x, transposed, DType::f32));
      cpu::decode_to_bf16(q.view, true, want.view().as<uint16_t>());
      decode(transposed.view, true, got);
      REQUIRE(got.same_bits(want));
    }
  }
}

TEST_CASE("decode: every code has the CPU's bits, NaN and infinities too") {
  for (const QuantSpec& spec : all_specs()) {
    INFO(describe(spec));
    GuardedTensor x = values(DType::bf16, 16, 256, 1, 9);
    Quantized q(spec, 16, 256, Copies::both);
    cpu().quantize(args_of(x, q, DType::f32));
    const int64_t codes = spec.format == e2m1 ? 16 : 256;
    for (int64_t i = 0; i < 16 * 256; ++i) q.row_codes[i] = static_cast<uint8_t>(i % codes);
    GuardedTensor want = zeros(DType::bf16, {16, 256}), got = want;
    cpu::decode_to_bf16(q.view, false, want.view().as<uint16_t>());
    decode(q.view, false, got);
    CHECK(got.same_bits(want));
  }
}

TEST_CASE("delayed_scaling_update: histories and scales are the CPU's") {
  for (int64_t length : {1, 2, 33, 70})
    for (int64_t n : {1, 40})
      for (AmaxAlgorithm algorithm : {AmaxAlgorithm::most_recent, AmaxAlgorithm::max}) {
        INFO(length << " x " << n);
        GuardedTensor history = normal_tensor(DType::f32, {length, n}, 3, 10.0), scale = zeros(DType::f32, {n}), max = scale;
        history.fill([&, old = history](int64_t i) {
          const int64_t column = i % n;
          if (column % 5 == 1 && i < n) return 0.0;                     // nothing recorded
          if (column % 5 == 2 && i == column) return double{INFINITY};  // overflowed now
          if (column % 5 == 3 && i == 7 * n + column) return double{NAN};
          if (column % 5 == 4 && i < n) return 1e-39;
          return std::fabs(old.at(i));
        });
        scale.fill([](int64_t i) { return 1.0 + static_cast<double>(i); });
        max.fill([](int64_t i) { return i % 2 == 0 ? 448.0 : 57344.0; });
        GuardedTensor want_history = history, want_scale = scale;
        for (int step = 0; step < 2; ++step) {
          cpu().delayed_scaling_update({.history = want_history, .scale = want_scale, .fp8_max = max, .margin = 1, .algorithm = algorithm});
          backend().delayed_scaling_update({.history = history, .scale = scale, .fp8_max = max, .margin = 1, .algorithm = algorithm});
          REQUIRE(history.same_bits(want_history));
          REQUIRE(scale.same_bits(want_scale));
        }
      }
}

}  // namespace mbt::test::quantize_test

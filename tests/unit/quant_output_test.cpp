// An op that quantizes its own output writes what the op alone, and quantize after it, write: every code, scale and amax, and the same
// plain outputs. On whichever backend is tested.
#include "core/ops/quant_output.h"

#include "tests/support/producers.h"

namespace mbt::test::quant_output_test {
namespace {

using enum QuantScaling;
using enum QuantFormat;

const std::vector<QuantSpec> kSpecs = {
    {.format = e4m3, .scaling = delayed},    {.format = e5m2, .scaling = delayed},
    {.format = e4m3, .scaling = tensorwise}, {.format = e5m2, .scaling = tensorwise, .power_of_two_scale = true},
    {.format = e4m3, .scaling = blockwise},  {.format = e4m3, .scaling = mxfp8},
    {.format = e2m1, .scaling = nvfp4},      {.format = e2m1, .scaling = nvfp4, .stochastic_rounding = true, .hadamard_columnwise = true}};

QuantOutput output_of(const Quantized& q, bool stage_amax = true) {
  return {.q = q.view, .stage_amax = stage_amax, .random_seed = 7, .random_stream = 3};
}

bool same_bits(const Written& a, const Written& b, size_t first) {
  for (size_t i = first; i < a.size(); ++i)
    if (!a[i].same_bits(b[i])) return false;
  return true;
}

void check(const Producer& producer, DType act, int kind, const QuantSpec& spec, Copies copies, int64_t shift = 0, bool stage_amax = true) {
  INFO(producer.name << " " << name_of(act) << " kind " << kind << " " << describe(spec) << " shift " << shift);
  Written plain = producer.run(backend(), act, kind, {}, true);
  GuardedTensor& x = plain[0];
  const auto quantized = [&] { return Quantized(spec, x.view().rows(), x.view().cols(), copies, false, shift); };
  Quantized want = quantized(), got = quantized();
  backend().quantize({.x = x, .to = output_of(want, stage_amax)});
  REQUIRE(same_bits(plain, producer.run(backend(), act, kind, output_of(got, stage_amax), true), 0));
  REQUIRE(got == want);
  if (!producer.may_drop_plain) return;
  Quantized alone = quantized();
  REQUIRE(same_bits(plain, producer.run(backend(), act, kind, output_of(alone, stage_amax), false), 1));
  REQUIRE(alone == want);
}

void check_all(const std::vector<Producer>& producers) {
  for (const Producer& p : producers)
    for (DType act : kActTypes)
      for (const QuantSpec& spec : kSpecs) check(p, act, 0, spec, Copies::both);
}

TEST_CASE("quantized outputs of norms and activations: every scaling and dtype, packs and single elements") {
  for (int64_t cols : {64, 15}) check_all(row_producers(5, cols));
}

TEST_CASE("quantized outputs of ops on heads: every scaling and dtype") {
  check_all(head_producers(6, 3, 2, 1, 16, 8));  // a part of each head turns
  for (const Producer& p : head_producers(5, 5, 3, 1, 5, 4)) check(p, DType::bf16, 0, kSpecs[0], Copies::both);
}

TEST_CASE("quantized outputs of attention on tiles") {
  for (const QuantSpec& spec : {kSpecs[0], kSpecs[2], kSpecs[4]})
    for (int64_t width : {64, 128})
      for (const Producer& p : head_producers(132, 66, 2, 1, width, width))
        if (p.name.starts_with("attention")) check(p, width == 64 ? DType::bf16 : DType::f16, 0, spec, Copies::both);
}

TEST_CASE("quantized outputs: NaN, infinities and zeros") {
  std::vector<Producer> producers = row_producers(4, 24);
  for (const Producer& p : head_producers(4, 4, 2, 1, 64, 64)) producers.push_back(p);
  for (const Producer& p : producers)
    for (DType act : {DType::bf16, DType::f16})
      for (int kind : {1, 2})
        for (const QuantSpec& spec : {kSpecs[0], kSpecs[1], kSpecs[2], kSpecs[6]}) check(p, act, kind, spec, Copies::both);
}

TEST_CASE("quantized outputs: one copy alone, codes out of line, amax not staged") {
  for (const Producer& p : row_producers(3, 48))
    for (const QuantSpec& spec : {kSpecs[0], kSpecs[2], kSpecs[6], kSpecs[7]}) {
      check(p, DType::bf16, 0, spec, Copies::rows, 0, false);
      check(p, DType::bf16, 0, spec, Copies::columns);
      check(p, DType::bf16, 0, spec, Copies::rows, 3);
    }
}

TEST_CASE("quantized outputs: more rows than a kernel takes at once, rows in a block, rows too wide") {
  for (const QuantSpec& spec : {kSpecs[0], kSpecs[2]}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{261, 40}, {51, 1048}, {19, 2304}, {3, 8200}})
      for (const Producer& p : row_producers(rows, cols))
        if (rows == 261 || p.name.starts_with("rms") || p.name.starts_with("swiglu")) check(p, DType::bf16, 0, spec, Copies::both);
    for (const Producer& p : head_producers(90, 90, 40, 8, 32, 32))
      if (!p.name.starts_with("attention")) check(p, DType::bf16, 0, spec, Copies::both);
  }
}

TEST_CASE("quantized outputs that do not fit are refused, and so is an op whose output nobody wants") {
  GuardedTensor x = normal_tensor(DType::bf16, {4, 32}, 1), y(DType::bf16, {4, 32});
  Quantized other({.format = e4m3, .scaling = tensorwise}, 4, 16, Copies::both);
  CHECK_THROWS_WITH(backend().activation_fwd({.kind = ActivationKind::silu, .x = x, .y = y, .quantized = output_of(other)}),
                    ContainsSubstring("activation_fwd") && ContainsSubstring("'y'"));
  Quantized scaleless({.format = e4m3, .scaling = delayed}, 4, 32, Copies::both);
  scaleless.view.scale = nullptr;
  CHECK_THROWS_WITH(backend().activation_fwd({.kind = ActivationKind::silu, .x = x, .y = y, .quantized = output_of(scaleless)}),
                    ContainsSubstring("without a scale"));
  CHECK_THROWS_WITH(backend().activation_fwd({.kind = ActivationKind::silu, .x = x, .y = y, .keeps_y = false}),
                    ContainsSubstring("nor its codes"));
}

}  // namespace
}  // namespace mbt::test::quant_output_test

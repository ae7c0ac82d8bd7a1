#include "kernels/cpu/gemm.h"

#include "core/quant/dequantize.h"
#include "core/reference/product.h"
#include "kernels/cpu/gemm_engine.h"
#include "kernels/cpu/loops/gemm.h"
#include "kernels/cpu/quantize.h"
#include "tests/support/catch.h"
#include "tests/support/guarded_tensor.h"

namespace mbt::test::gemm_test {
namespace {

using test::GuardedTensor;

constexpr GemmRole kRoles[] = {GemmRole::fprop, GemmRole::dgrad, GemmRole::wgrad};

/// Extents of D and of the sum.
struct Extents {
  int64_t m, n, k;
};
constexpr Extents kExtents[] = {{1, 1, 1},      {1, 127, 33}, {31, 1, 64},  {33, 31, 127}, {127, 129, 31},
                                {100, 70, 300}, {5, 300, 1},  {7, 65, 100}, {8, 9, 257}};

Shape a_shape(GemmRole role, const Extents& e) { return ref::product_a_shape(role, {e.m, e.n, e.k}); }
Shape b_shape(GemmRole role, const Extents& e) { return ref::product_b_shape(role, {e.m, e.n, e.k}); }

using Values = std::vector<double>;

/// The largest |d - want| in units of what fp32 accumulation and one rounding to d's dtype allow; `factor` multiplies the sum.
double worst_error(GemmRole role, const Extents& e, const Values& a, const Values& b, double factor, const GuardedTensor* bias,
                   const GuardedTensor* before, const GuardedTensor& d) {
  double worst = 0;
  for (int64_t i = 0; i < e.m; ++i) {
    for (int64_t j = 0; j < e.n; ++j) {
      const ref::ProductElement sum = ref::product_element(role, {e.m, e.n, e.k}, i, j, a, b);
      const double b_j = bias ? bias->at(j) : 0.0, d_ij = before ? before->at(i * e.n + j) : 0.0;
      const double want = factor * sum.value + b_j + d_ij;
      const double allowed =
          0x1p-21 * (factor * sum.magnitude + std::fabs(b_j) + std::fabs(d_ij)) + test::unit_of(d.dtype()) * std::fabs(want);
      const double error = std::fabs(d.at(i * e.n + j) - want);
      worst = error <= worst * allowed ? worst : error / allowed;
    }
  }
  return worst;
}

void check_plain(cpu::Gemm& gemm, GemmRole role, const Extents& e, DType act, DType d_type, bool has_bias, bool accumulate) {
  std::mt19937 random(11);
  GuardedTensor a(act, a_shape(role, e)), b(act, b_shape(role, e)), d(d_type, {e.m, e.n}), bias(act, {e.n});
  a.fill_normal(random);
  b.fill_normal(random);
  bias.fill_normal(random);
  d.fill_normal(random);
  GuardedTensor before = d;
  GemmArgs args{role, a.view(), b.view(), d.view()};
  if (has_bias) args.bias = bias;
  args.accumulate = accumulate;
  args.check(op_name(args));
  gemm.run(args);
  CAPTURE(name_of(role), name_of(act), name_of(d_type), e.m, e.n, e.k, has_bias, accumulate);
  CHECK(worst_error(role, e, a.values(), b.values(), 1.0, has_bias ? &bias : nullptr, accumulate ? &before : nullptr, d) <= 1.0);
  CHECK(d.guards_intact());
}

/// A quantized matrix with its memory.
class QuantizedMatrix {
 public:
  QuantizedMatrix(const QuantSpec& spec, GuardedTensor x, float delayed_scale = 0.0f) : values_(std::move(x)), scale_(delayed_scale) {
    view_.spec = spec;
    view_.rows = values_.view().rows();
    view_.cols = values_.view().cols();
    view_.rowwise = allocate(0);
    view_.columnwise = spec.columnwise_shares_codes() ? view_.rowwise : allocate(1);
    if (spec.scaling == QuantScaling::delayed) view_.scale = &scale_;
    QuantizeArgs args{.x = values_.view(), .to = {.q = view_}};
    args.check(op_name(args));
    cpu::quantize(args);
  }
  QuantizedMatrix(const QuantizedMatrix&) = delete;
  QuantizedMatrix& operator=(const QuantizedMatrix&) = delete;
  const QuantTensorView& view() const { return view_; }
  Values values(bool columnwise) const {
    const std::vector<float> out = dequantize(view_, columnwise);
    return {out.begin(), out.end()};
  }

 private:
  QuantCopy allocate(int copy) {
    const QuantCopyShape shape = quant_copy_shape(view_.spec, view_.rows, view_.cols, copy == 1);
    codes_[copy].resize(static_cast<size_t>(shape.codes_bytes));
    scales_[copy].resize(static_cast<size_t>(shape.scale_bytes + 3) / 4);
    return {codes_[copy].data(), scales_[copy].data(), view_.spec.scaling == QuantScaling::nvfp4 ? &amax_[copy] : nullptr};
  }

  GuardedTensor values_;
  float scale_;
  float amax_[2] = {0, 0};
  std::vector<uint8_t> codes_[2];
  std::vector<float> scales_[2];
  QuantTensorView view_;
};

struct OperandSpecs {
  const char* name;
  QuantSpec input, weight, gradient;
};

/// What the recipes give to the three tensors of a linear layer.
std::vector<OperandSpecs> operand_specs() {
  using enum QuantFormat;
  using enum QuantScaling;
  auto spec = [](QuantFormat format, QuantScaling scaling, bool is_2d = false, bool hadamard = false) {
    QuantSpec s;
    s.format = format;
    s.scaling = scaling;
    s.is_2d = is_2d;
    s.hadamard_columnwise = hadamard;
    return s;
  };
  return {{"delayed", spec(e4m3, delayed), spec(e4m3, delayed), spec(e5m2, delayed)},
          {"tensorwise", spec(e4m3, tensorwise), spec(e4m3, tensorwise), spec(e5m2, tensorwise)},
          {"blockwise", spec(e4m3, blockwise), spec(e4m3, blockwise, true), spec(e4m3, blockwise)},
          {"mxfp8", spec(e4m3, mxfp8), spec(e4m3, mxfp8), spec(e4m3, mxfp8)},
          {"nvfp4", spec(e2m1, nvfp4, false, true), spec(e2m1, nvfp4, true), spec(e2m1, nvfp4, false, true)}};
}

GuardedTensor matrix(DType dtype, int64_t rows, int64_t cols, const std::vector<double>& values) {
  GuardedTensor t(dtype, {rows, cols});
  t.fill([&](int64_t i) { return values[static_cast<size_t>(i)]; });
  return t;
}
GuardedTensor normal_matrix(Shape shape, unsigned seed) {
  GuardedTensor t(DType::bf16, shape);
  std::mt19937 random(seed);
  t.fill_normal(random);
  return t;
}

}  // namespace

void check_all_plain(cpu::Gemm& gemm) {
  for (GemmRole role : kRoles)
    for (DType act : {DType::f32, DType::bf16, DType::f16})
      for (DType d_type : {DType::f32, act})
        for (const Extents& e : kExtents)
          for (bool accumulate : {false, true})
            for (bool has_bias : {false, true})
              if (!has_bias || role == GemmRole::fprop) check_plain(gemm, role, e, act, d_type, has_bias, accumulate);
}

TEST_CASE("gemm of plain operands: every role, dtype, bias and accumulation, odd extents") {
  cpu::Gemm gemm;
  check_all_plain(gemm);
}

TEST_CASE("gemm in blocks of rows, when the copies of its operands would be large") {
  cpu::Gemm gemm(1 << 10);
  check_all_plain(gemm);
}

TEST_CASE("gemm takes the scratch that it says it takes") {
  GuardedTensor a(DType::f16, {100, 70}), b(DType::f16, {300, 70}), d(DType::f16, {100, 300});
  cpu::Gemm gemm;
  const size_t needed = gemm.scratch_bytes_for({GemmRole::fprop, 100, 300, 70}, nullptr, nullptr, DType::f16);
  CHECK(needed >= 4 * (100 * 70 + 300 * 70 + 100 * 300));
  gemm.run({GemmRole::fprop, a.view(), b.view(), d.view()});
  CHECK(gemm.scratch_bytes() >= needed);
  CHECK(cpu::Gemm(1 << 10).scratch_bytes_for({GemmRole::fprop, 100, 300, 70}, nullptr, nullptr, DType::f16) < needed);
  CHECK(gemm.scratch_bytes_for({GemmRole::fprop, 100, 300, 70}, nullptr, nullptr, DType::f32) == 0);
}

TEST_CASE("the fp32 product of builds without oneDNN") {
  std::mt19937 random(5);
  for (GemmRole role : kRoles) {
    for (const Extents& e : kExtents) {
      for (bool accumulate : {false, true}) {
        GuardedTensor a(DType::f32, a_shape(role, e)), b(DType::f32, b_shape(role, e)), d(DType::f32, {e.m, e.n}), bias(DType::f32, {e.n});
        for (GuardedTensor* t : {&a, &b, &d, &bias}) t->fill_normal(random);
        GuardedTensor before = d;
        MBT_AT_LEVEL(gemm_f32)
        (e.m, e.n, e.k, a.view().as<float>(), role == GemmRole::wgrad, b.view().as<float>(), role == GemmRole::fprop, d.view().as<float>(),
         0.5f, bias.view().as<float>(), accumulate);
        CAPTURE(name_of(role), e.m, e.n, e.k, accumulate);
        CHECK(worst_error(role, e, a.values(), b.values(), 0.5, &bias, accumulate ? &before : nullptr, d) <= 1.0);
        CHECK(d.guards_intact());
      }
    }
  }
}

TEST_CASE("gemm gives the same bits on every run, in scratch that stops growing") {
  std::mt19937 random(2);
  const Extents e{130, 140, 257};
  for (DType act : {DType::f32, DType::bf16, DType::f16}) {
    GuardedTensor a(act, a_shape(GemmRole::wgrad, e)), b(act, b_shape(GemmRole::wgrad, e)), d(DType::f32, {e.m, e.n});
    a.fill_normal(random);
    b.fill_normal(random);
    GuardedTensor again = d;
    cpu::Gemm gemm;
    gemm.run({GemmRole::wgrad, a.view(), b.view(), d.view()});
    const size_t scratch = gemm.scratch_bytes();
    gemm.run({GemmRole::wgrad, a.view(), b.view(), again.view()});
    CHECK(d.same_bits(again));
    CHECK(gemm.scratch_bytes() == scratch);
  }
}

TEST_CASE("gemm propagates NaN and infinity") {
  for (DType act : {DType::f32, DType::bf16, DType::f16}) {
    GuardedTensor a(act, {2, 3}), b(act, {2, 3}), d(act, {2, 2});
    a.fill([](int64_t i) { return i == 1 ? INFINITY : 1.0; });
    b.fill([](int64_t) { return 1.0; });
    cpu::Gemm().run({GemmRole::fprop, a.view(), b.view(), d.view()});
    CHECK((std::isinf(d.at(0)) && d.at(2) == 3.0));
  }
}

TEST_CASE("gemm support says how operands are multiplied") {
  const cpu::Gemm gemm;
  const QuantSpec spec{};
  CHECK(gemm.support(nullptr, nullptr, DType::f32).execution == Execution::native);
  CHECK(gemm.support(nullptr, nullptr, DType::f16).execution == Execution::emulated);
  CHECK(gemm.support(&spec, &spec, DType::bf16).execution == Execution::emulated);
  CHECK(gemm.support(&spec, nullptr, DType::bf16).execution == Execution::unsupported);
  CHECK(gemm.support(nullptr, nullptr, DType::i32).execution == Execution::unsupported);
  const bool has_bf16 = cpu::GemmEngine::has_bf16();
  CHECK(gemm.support(nullptr, nullptr, DType::bf16).execution == (has_bf16 ? Execution::native : Execution::emulated));
}

TEST_CASE("gemm of quantized operands equals the product of the values they represent") {
  cpu::Gemm gemm;
  const Extents e{33, 50, 161};
  for (const OperandSpecs& specs : operand_specs()) {
    for (GemmRole role : kRoles) {
      const bool a_columnwise = role == GemmRole::wgrad, b_columnwise = role != GemmRole::fprop;
      const QuantizedMatrix a(role == GemmRole::fprop ? specs.input : specs.gradient, normal_matrix(a_shape(role, e), 3), 100.0f);
      const QuantizedMatrix b(role == GemmRole::wgrad ? specs.input : specs.weight, normal_matrix(b_shape(role, e), 4), 50.0f);
      for (DType d_type : {DType::f32, DType::bf16, DType::f16}) {
        for (bool accumulate : {false, true}) {
          GuardedTensor d = matrix(d_type, e.m, e.n, Values(static_cast<size_t>(e.m * e.n), 0.75)), bias(DType::f32, {e.n});
          const GuardedTensor before = d;
          bias.fill([](int64_t i) { return 0.01 * static_cast<double>(i); });
          GemmArgs args{role, a.view(), b.view(), d.view()};
          args.accumulate = accumulate;
          if (role == GemmRole::fprop) args.bias = bias;
          args.check(op_name(args));
          gemm.run(args);
          CAPTURE(specs.name, name_of(role), name_of(d_type), accumulate);
          CHECK(worst_error(role, e, a.values(a_columnwise), b.values(b_columnwise), 1.0, role == GemmRole::fprop ? &bias : nullptr,
                            accumulate ? &before : nullptr, d) <= 1.0);
          CHECK(d.guards_intact());
        }
      }
    }
  }
}

TEST_CASE("gemm of per-tensor FP8 operands: the reference vector") {
  QuantSpec spec;  // tensorwise E4M3
  const QuantizedMatrix x(spec, matrix(DType::bf16, 2, 4, {.5, -1, 2, 3, 1.5, .25, -.75, .1}));
  const QuantizedMatrix w(spec, matrix(DType::bf16, 2, 4, {1, .3, -.6, .2, -.4, .9, .05, 1.2}));
  GuardedTensor y(DType::f32, {2, 2}), rounded(DType::bf16, {2, 2});
  cpu::Gemm gemm;
  gemm.run({GemmRole::fprop, x.view(), w.view(), y.view()});
  gemm.run({GemmRole::fprop, x.view(), w.view(), rounded.view()});
  const double want[] = {-0.37290737, 2.6874652, 2.0899789, -0.28831264};
  const uint16_t bits[] = {0xbebf, 0x402c, 0x4006, 0xbe94};
  for (int i = 0; i < 4; ++i) {
    CHECK(y.at(i) == Approx(want[i]).epsilon(2e-7));
    CHECK(rounded.view().as<uint16_t>()[i] == bits[i]);
  }
}

TEST_CASE("gemm of 1x128 by 128x128 blocks: the reference vector") {
  Values x(256, 1.0), w(256, 0.5);
  std::fill(x.begin() + 128, x.end(), 3.0);
  std::fill(w.begin() + 128, w.end(), -2.0);
  QuantSpec spec;
  spec.scaling = QuantScaling::blockwise;
  QuantSpec square = spec;
  square.is_2d = true;
  const QuantizedMatrix a(spec, matrix(DType::bf16, 1, 256, x)), b(square, matrix(DType::bf16, 1, 256, w));
  GuardedTensor y(DType::f32, {1, 1});
  cpu::Gemm().run({GemmRole::fprop, a.view(), b.view(), y.view()});
  CHECK(y.at(0) == -704.0);
}

}  // namespace mbt::test::gemm_test

#include "core/ops/optimizer.h"

#include "core/ops/gemm.h"
#include "core/reference/adamw.h"
#include "tests/support/op_cases.h"

namespace mbt::test::optimizer_ops_test {
namespace {

constexpr int64_t kSizes[] = {1, 31, 129, 16384, 40001};

struct Adam {
  GuardedTensor master, exp_avg, exp_avg_sq, grad, grad_scale{DType::f32, {1}};

  explicit Adam(int64_t n, DType first = DType::f32, DType second = DType::f32)
      : master(normal_tensor(DType::f32, {n}, 1)),
        exp_avg(normal_tensor(first, {n}, 2, 0.1)),
        exp_avg_sq(normal_tensor(second, {n}, 3, 0.01)),
        grad(normal_tensor(DType::f32, {n}, 4)) {
    for (int64_t i = 0; i < n; ++i) exp_avg_sq.set(i, std::fabs(exp_avg_sq.at(i)));
    grad_scale.set(0, 0.5);
  }
  AdamwArgs args() {
    return {.master = master,
            .exp_avg = exp_avg,
            .exp_avg_sq = exp_avg_sq,
            .grad = grad,
            .lr = 0.01f,
            .beta1 = 0.9f,
            .beta2 = 0.95f,
            .eps = 1e-8f,
            .weight_decay = 0.1f,
            .bias_correction1 = 0.271f,
            .bias_correction2 = 0.142625f,
            .grad_scale = grad_scale};
  }
};

struct Moments {
  DType first, second;
};
/// Decoupled or L2, and sizes.
std::vector<std::pair<bool, int64_t>> cases() {
  std::vector<std::pair<bool, int64_t>> all;
  for (bool decoupled : {true, false})
    for (int64_t n : kSizes) all.emplace_back(decoupled, n);
  return all;
}

constexpr Moments kMoments[] = {{DType::f32, DType::f32}, {DType::bf16, DType::f32}, {DType::f32, DType::bf16}, {DType::bf16, DType::bf16}};

/// The tolerance of a bf16 moment is its own rounding, half a unit in the last place; the master sees the moments before that, so its
/// tolerance is the same with all of them.
TEST_CASE("adamw: master, moments and the working copy, decoupled or L2", "[loops]") {
  for (Moments moments : kMoments)
    for (DType dtype : kActTypes)
      for (const auto& [decoupled, n] : cases()) {
        if (moments.first != moments.second && n > 1000) continue;
        INFO(name_of(moments.first) << "/" << name_of(moments.second) << " " << name_of(dtype) << " " << n
                                    << (decoupled ? " decoupled" : " L2"));
        Adam a(n, moments.first, moments.second);
        GuardedTensor param(dtype, {n});
        AdamwArgs args = a.args();
        args.param = param;
        args.decoupled = decoupled;
        const ref::AdamwReference want(args, a.master, a.exp_avg, a.exp_avg_sq, a.grad, 0.5);
        backend().adamw(args);
        CHECK(mismatch("adamw", a.master, want.master) == "");
        CHECK(mismatch("adamw", a.exp_avg, want.exp_avg) == "");
        CHECK(mismatch("adamw", a.exp_avg_sq, want.exp_avg_sq) == "");
        std::vector<double> rounded;  // the working copy is the master, rounded once
        for (int64_t i = 0; i < n; ++i) rounded.push_back(round_to(dtype, a.master.at(i)));
        CHECK(param.values() == rounded);
        CHECK((param.guards_intact() && a.grad.guards_intact()));
      }
}

TEST_CASE("adamw on the CPU has the bits of a plain fp32 loop, a bf16 moment that of the loop's, rounded to nearest even", "[loops]") {
  if (backend().name() != "cpu") return;  // a device may fuse a product and a sum
  for (Moments moments : kMoments) {
    INFO(name_of(moments.first) << "/" << name_of(moments.second));
    Adam a(1001, moments.first, moments.second);
    const Adam before = a;
    const AdamwArgs args = a.args();
    backend().adamw(args);
    const volatile float rest1 = 1.0f - args.beta1, rest2 = 1.0f - args.beta2,
                         step = args.lr / args.bias_correction1;  // volatile: no fusion
    const volatile float inverse2 = 1.0f / args.bias_correction2, decay = args.lr * args.weight_decay, keep = 1.0f - decay;
    for (int64_t i = 0; i < a.master.size(); ++i) {
      const auto f = [](double x) { return static_cast<float>(x); };
      const volatile float g = f(before.grad.at(i)) * 0.5f, g2 = g * g;
      const volatile float m1 = args.beta1 * f(before.exp_avg.at(i)), m2 = rest1 * g, v1 = args.beta2 * f(before.exp_avg_sq.at(i)),
                           v2 = rest2 * g2;
      const volatile float m = m1 + m2, v = v1 + v2, corrected = v * inverse2, kept = f(before.master.at(i)) * keep;
      const volatile float quotient = m / (std::sqrt(corrected) + args.eps), change = step * quotient;
      REQUIRE(a.master.at(i) == static_cast<double>(kept - change));
      REQUIRE(a.exp_avg.at(i) == round_to(moments.first, static_cast<double>(m)));
      REQUIRE(a.exp_avg_sq.at(i) == round_to(moments.second, static_cast<double>(v)));
    }
  }
}

TEST_CASE("adamw refuses moments of other dtypes, and says which") {
  Adam a(8, DType::f16);
  CHECK_THROWS_WITH(backend().adamw(a.args()), ContainsSubstring("'exp_avg' is f16[8], expected f32 or bf16"));
}

TEST_CASE("adamw: a skipped step changes nothing; no working copy is fine", "[loops]") {
  Adam a(100), before(100);
  Flag flag(1);
  AdamwArgs args = a.args();
  args.skip = flag;
  backend().adamw(args);
  CHECK((a.master.same_bits(before.master) && a.exp_avg.same_bits(before.exp_avg) && a.exp_avg_sq.same_bits(before.exp_avg_sq)));
  flag.set(0);
  backend().adamw(args);
  CHECK_FALSE(a.master.same_bits(before.master));
}

TEST_CASE("grad_norm and sum: f64 over fixed chunks", "[loops]") {
  for (int64_t n : kSizes) {
    GuardedTensor grad = normal_tensor(DType::f32, {n}, 1), total(DType::f64, {1}), norm(DType::f64, {1});
    Flag flag(7);
    double squares = 0, sum = 2.5;
    for (double g : grad.values()) squares += g * g * 0.0625, sum += g;
    total.set(0, 2.5);
    backend().grad_norm({.grad = grad, .squared_norm = norm, .non_finite = flag, .inverse_scale = 0.25f});
    backend().sum({.x = grad, .out = total});
    CHECK(norm.at(0) == Approx(squares).epsilon(1e-13));
    CHECK(total.at(0) == Approx(sum).epsilon(1e-12).margin(1e-12));
    CHECK(flag.value() == 0);
  }
}

TEST_CASE("grad_norm flags NaN and infinities, not large numbers", "[loops]") {
  GuardedTensor grad = normal_tensor(DType::f32, {40000}, 1), norm(DType::f64, {1});
  Flag flag(0);
  const GradNormArgs args{.grad = grad, .squared_norm = norm, .non_finite = flag};
  grad.set(39999, 3e38);
  backend().grad_norm(args);
  CHECK(flag.value() == 0);
  for (double bad : {double{INFINITY}, -double{INFINITY}, double{NAN}}) {
    grad.set(20000, bad);
    backend().grad_norm(args);
    CHECK(flag.value() == 1);
  }
}

TEST_CASE("grad_norm adds up over tensors where it accumulates", "[loops]") {
  GuardedTensor norm(DType::f64, {1});
  Flag flag(7);
  double squares = 0;
  bool accumulate = false;  // the first overwrites
  const auto adds = [&](GuardedTensor grad) {
    for (double g : grad.values()) squares += g * g * 0.0625;
    backend().grad_norm({.grad = grad, .squared_norm = norm, .non_finite = flag, .inverse_scale = 0.25f, .accumulate = accumulate});
    accumulate = true;
  };
  norm.set(0, 1e9);
  for (int64_t n : kSizes) {
    adds(normal_tensor(DType::f32, {n}, static_cast<uint32_t>(n)));
    CHECK(norm.at(0) == Approx(squares).epsilon(1e-13));
    CHECK(flag.value() == 0);
  }
  const double before = norm.at(0);
  adds(GuardedTensor(DType::f32, {0}));  // a slice without elements
  CHECK(norm.at(0) == before);
  CHECK(flag.value() == 0);
  GuardedTensor bad = normal_tensor(DType::f32, {40}, 1);
  bad.set(7, INFINITY);
  adds(bad);
  CHECK(flag.value() == 1);
  adds(normal_tensor(DType::f32, {40}, 2));  // the flag stays
  CHECK(flag.value() == 1);
  CHECK(norm.at(0) == INFINITY);
  CHECK(norm.guards_intact());
  accumulate = false;
  adds(normal_tensor(DType::f32, {40}, 2));
  CHECK(flag.value() == 0);
  CHECK(std::isfinite(norm.at(0)));
}

TEST_CASE("grad_norm has the same bits on any number of threads", "[loops]") {
  GuardedTensor grad = normal_tensor(DType::f32, {300001}, 1);
  CHECK(same_bits_on_any_threads(GuardedTensor(DType::f64, {1}), [&](Backend& cpu, GuardedTensor& norm) {
    Flag flag(0);
    cpu.grad_norm({.grad = grad, .squared_norm = norm, .non_finite = flag});
  }));
}

TEST_CASE("clip_scale compares the norm, not its square", "[loops]") {
  GuardedTensor squared(DType::f64, {1}), scale(DType::f32, {1});
  auto clipped = [&](double norm, float max_norm, float inverse_scale) {
    squared.set(0, norm * norm);
    backend().clip_scale({.squared_norm = squared, .scale = scale, .max_norm = max_norm, .inverse_scale = inverse_scale});
    return scale.at(0);
  };
  CHECK(clipped(4.0, 1.0f, 1.0f) == Approx(1.0 / (4.0 + 1e-6)));
  CHECK(clipped(0.5, 1.0f, 1.0f) == 1.0);
  CHECK(clipped(4.0, 1.0f, 0.125f) == Approx(0.125 / (4.0 + 1e-6)));
  CHECK(clipped(4.0, 0.0f, 0.125f) == 0.125);
  // The epsilon counts where a norm is as small: it is added to the norm, not to its square, and not left out.
  CHECK(clipped(1e-6, 1e-6f, 1.0f) == Approx(0.5));
  CHECK(clipped(3e-6, 1e-6f, 1.0f) == Approx(0.25));
  CHECK(clipped(0.0, 1e-7f, 2.0f) == Approx(0.2));
}

TEST_CASE("decide_step: what skips a step, and the report of it", "[loops]") {
  GuardedTensor squared(DType::f64, {1}), loss(DType::f64, {1}), report(DType::f64, {4});
  Flag non_finite(0), skip(7);
  DecideStepArgs args{.squared_norm = squared, .non_finite = non_finite, .skip = skip, .report = report, .loss_sum = loss};
  const auto decides = [&](double norm, int32_t flag, double loss_sum) {
    squared.set(0, norm * norm), loss.set(0, loss_sum);
    non_finite.set(flag);
    skip.set(7);
    backend().decide_step(args);
    CHECK((skip.value() == 0 || skip.value() == 1));
    CHECK((report.at(1) == squared.at(0) || std::isnan(norm)));
    CHECK(report.at(2) == flag);
    CHECK(report.at(3) == skip.value());
    return skip.value() == 1;
  };
  CHECK_FALSE(decides(3.0, 0, 2.5));
  CHECK(report.at(0) == 2.5);
  CHECK_FALSE(decides(NAN, 1, INFINITY));  // nobody asked
  args.max_norm = 3.0;
  CHECK_FALSE(decides(3.0, 0, 1.0));  // above, not at
  CHECK(decides(3.0000001, 0, 1.0));
  CHECK_FALSE(decides(NAN, 1, 1.0));
  CHECK(decides(INFINITY, 1, 1.0));
  args.skip_non_finite = true;
  CHECK(decides(NAN, 1, 1.0));
  CHECK_FALSE(decides(1.0, 0, NAN));
  CHECK(std::isnan(report.at(0)));
  args.skip_non_finite_loss = true;
  for (const double bad : {double{NAN}, double{INFINITY}, -double{INFINITY}}) CHECK(decides(1.0, 0, bad));
  args.loss_sum = {};
  CHECK_FALSE(decides(1.0, 0, NAN));
  CHECK(report.at(0) == 0.0);
  CHECK(report.guards_intact());
}

TEST_CASE("add and bias_bwd", "[loops]") {
  for_each_case([](DType dtype, int64_t rows, int64_t cols) {
    GuardedTensor a = normal_tensor(dtype, {rows, cols}, 1), b = normal_tensor(dtype, {rows, cols}, 2);
    GuardedTensor d_bias = normal_tensor(DType::f32, {cols}, 3);
    std::vector<double> sum, want = d_bias.values();
    for (int64_t i = 0; i < a.size(); ++i) sum.push_back(a.at(i) + b.at(i)), want[static_cast<size_t>(i % cols)] += b.at(i);
    backend().bias_bwd({.d_y = b, .d_bias = d_bias});
    backend().add({.a = a, .b = b, .out = a});
    CHECK(mismatch("add", a, sum) == "");
    CHECK(mismatch("bias_bwd", d_bias, want) == "");
  });
  GuardedTensor d_y = normal_tensor(DType::bf16, {2000, 300}, 1);
  CHECK(same_bits_on_any_threads(GuardedTensor(DType::f32, {300}),
                                 [&](Backend& cpu, GuardedTensor& d_bias) { cpu.bias_bwd({.d_y = d_y, .d_bias = d_bias}); }));
}

}  // namespace
}  // namespace mbt::test::optimizer_ops_test

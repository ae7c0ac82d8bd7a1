#include "core/selftest/optimizer_steps.h"

#include "core/reference/adamw.h"
#include "core/selftest/device_tensor.h"

namespace mbt::selftest {
namespace {

constexpr const char* kChunkAllowance = "f64 sums over chunks: 2^-44 of their magnitude";

AdamwArgs adamw_args(const DeviceTensor& master, const DeviceTensor& m, const DeviceTensor& v, const DeviceTensor& grad,
                     const DeviceTensor& scale) {
  return {.master = master,
          .exp_avg = m,
          .exp_avg_sq = v,
          .grad = grad,
          .lr = 0.01F,
          .beta1 = 0.9F,
          .beta2 = 0.95F,
          .eps = 1e-8F,
          .weight_decay = 0.1F,
          .bias_correction1 = 0.271F,
          .bias_correction2 = 0.142625F,
          .grad_scale = scale};
}

GuardedTensor one(DType dtype, double x) {
  GuardedTensor t = zeros(dtype, {1});
  t.set(0, x);
  return t;
}

Outcome run_adamw(Backend& on, DType param_type, DType first, DType second, bool decoupled) {
  constexpr int64_t kSize = 4099;
  GuardedTensor squares = normal(second, {kSize}, 3, 0.01);
  for (int64_t i = 0; i < kSize; ++i) squares.set(i, std::fabs(squares.at(i)));
  const DeviceTensor master(on, normal(DType::f32, {kSize}, 1)), m(on, normal(first, {kSize}, 2, 0.1)), v(on, squares),
      grad(on, normal(DType::f32, {kSize}, 4)), scale(on, one(DType::f32, 0.5)), param(on, zeros(param_type, {kSize}));
  const DeviceArray<int32_t> skip(on, {1}, DType::i32), count(on, {0}, DType::i32);
  AdamwArgs args = adamw_args(master, m, v, grad, scale);
  args.decoupled = decoupled;
  args.param = param;
  args.skip = skip;
  on.adamw(args);  // a skipped step changes nothing
  Outcome worst = master.compare_bits(master.start());
  worst.join(m.compare_bits(m.start()));
  args.skip = count;
  on.adamw(args);
  const ref::AdamwReference want(args, master.start(), m.start(), v.start(), grad.start(), 0.5);
  worst.join(master.compare("adamw", want.master));
  worst.join(m.compare("adamw", want.exp_avg));
  worst.join(v.compare("adamw", want.exp_avg_sq));
  GuardedTensor rounded = zeros(param_type, {kSize});
  const GuardedTensor updated = master.read();
  for (int64_t i = 0; i < kSize; ++i) rounded.set(i, updated.at(i));
  worst.join(param.compare_bits(rounded));
  return worst;
}

/// Of a sum in f64 over fixed chunks.
Outcome f64_sum(double got, double want, double magnitude, const char* what) {
  return {std::fabs(got - want), 0x1p-44 * magnitude, "absolute", fmt::format("{} is {:.17g}, expected {:.17g}", what, got, want)};
}
/// Of numbers that must be the same.
Outcome same(double got, double want, const char* what) {
  const bool is_same = got == want || (std::isnan(got) && std::isnan(want));
  return {is_same ? 0.0 : 1.0, 0, "absolute", fmt::format("{} is {}, expected {}", what, got, want)};
}

Outcome run_grad_norm(Backend& on) {
  constexpr int64_t kSize = 40001;
  Outcome worst;
  for (const double bad : {0.0, double{INFINITY}, double{NAN}}) {
    GuardedTensor start = normal(DType::f32, {kSize}, 1);
    if (bad != 0) start.set(20000, bad);
    const DeviceTensor grad(on, start), norm(on, one(DType::f64, 7));
    const DeviceArray<int32_t> flag(on, {7}, DType::i32);
    on.grad_norm({.grad = grad, .squared_norm = norm, .non_finite = flag, .inverse_scale = 0.25F});
    double squares = 0;
    for (const double g : start.values()) squares += g * g * 0.0625;
    worst.join(same(flag.read()[0], bad == 0 ? 0 : 1, "the flag of NaN and Inf"));
    if (bad == 0) worst.join(f64_sum(norm.read().at(0), squares, squares, "the squared norm"));
  }
  return worst;
}

Outcome run_sum(Backend& on) {
  const DeviceTensor x(on, normal(DType::f32, {40001}, 1)), out(on, one(DType::f64, 2.5));
  on.sum({.x = x, .out = out});
  double want = 2.5, magnitude = 2.5;
  for (const double v : x.start().values()) want += v, magnitude += std::fabs(v);
  return f64_sum(out.read().at(0), want, magnitude, "the sum");
}

Outcome run_clip_scale(Backend& on) {
  Outcome worst;
  for (const double squared : {0.25, 100.0})
    for (const float max_norm : {0.0F, 1.0F}) {
      const DeviceTensor norm(on, one(DType::f64, squared)), scale(on, zeros(DType::f32, {1}));
      on.clip_scale({.squared_norm = norm, .scale = scale, .max_norm = max_norm, .inverse_scale = 0.125F});
      const double clip = max_norm > 0 ? std::min(1.0, max_norm / (std::sqrt(squared) + 1e-6)) : 1.0;
      worst.join(scale.compare("adamw", {clip * 0.125}));
    }
  return worst;
}

struct Decision {
  double squared_norm, loss;
  int32_t non_finite;
  bool skips_gradients, skips_loss;
  double max_norm;
  bool want;
};

/// What each reason to skip a step decides, alone.
Outcome run_decide_step(Backend& on) {
  constexpr double kInf = INFINITY;
  const Decision all[] = {{4, 1, 0, true, true, kInf, false},      {kInf, 1, 1, true, false, kInf, true},
                          {kInf, 1, 1, false, false, kInf, false}, {4, 1, 0, false, false, 1.5, true},
                          {4, 1, 0, false, false, 2.5, false},     {NAN, 1, 1, false, false, 2.5, false},
                          {4, NAN, 0, false, true, kInf, true},    {4, NAN, 0, true, false, kInf, false}};
  Outcome worst;
  for (const Decision& d : all) {
    const DeviceTensor norm(on, one(DType::f64, d.squared_norm)), loss(on, one(DType::f64, d.loss)), report(on, zeros(DType::f64, {4}));
    const DeviceArray<int32_t> flag(on, {d.non_finite}, DType::i32), skip(on, {7}, DType::i32);
    on.decide_step({.squared_norm = norm,
                    .non_finite = flag,
                    .skip = skip,
                    .report = report,
                    .loss_sum = loss,
                    .skip_non_finite = d.skips_gradients,
                    .skip_non_finite_loss = d.skips_loss,
                    .max_norm = d.max_norm});
    worst.join(same(skip.read()[0], d.want ? 1 : 0, "skip"));
    const double want[] = {d.loss, d.squared_norm, static_cast<double>(d.non_finite), d.want ? 1.0 : 0.0};
    const GuardedTensor got = report.read();
    for (int64_t i = 0; i < 4; ++i) worst.join(same(got.at(i), want[i], "the report"));
  }
  return worst;
}

}  // namespace

Checks adamw_checks(DType param, DType exp_avg, DType exp_avg_sq) {
  Checks checks;
  for (const bool decoupled : {true, false})
    checks.push_back({fmt::format("adamw.{}.{}-{}{}", name_of(param), name_of(exp_avg), name_of(exp_avg_sq), decoupled ? "" : ".l2"),
                      "master, moments and working weights after a skipped and a counted step, with double", kRounding, kOtherDevice,
                      [=](Backend& on) { return run_adamw(on, param, exp_avg, exp_avg_sq, decoupled); }});
  return checks;
}

Checks step_checks() {
  return {{"grad_norm", "squared norm, and the flag of NaN and Inf that a loss scaler reads, with double", kChunkAllowance, kOtherDevice,
           run_grad_norm},
          {"sum", "a sum of losses, with double", kChunkAllowance, kOtherDevice, run_sum},
          {"clip_scale", "clip coefficient and loss scale, with double", kRounding, kOtherDevice, run_clip_scale},
          {"decide_step", "each reason to skip a step, with the rule", "none: flags", kOtherDevice, run_decide_step}};
}

}  // namespace mbt::selftest

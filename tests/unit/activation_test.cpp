#include "core/ops/activation.h"

#include "tests/support/op_cases.h"

namespace mbt::test::activation_test {
namespace {

using Kind = ActivationKind;
constexpr Kind kKinds[] = {Kind::swiglu, Kind::geglu, Kind::gelu_tanh, Kind::gelu_erf, Kind::silu, Kind::relu, Kind::squared_relu};

double cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double value(Kind kind, double x) {
  switch (kind) {
    case Kind::swiglu:
    case Kind::silu: return x / (1 + std::exp(-x));
    case Kind::geglu:
    case Kind::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Kind::gelu_erf: return x * cdf(x);
    case Kind::relu: return std::max(x, 0.0);
    case Kind::squared_relu: return x > 0 ? x * x : 0.0;
  }
  return NAN;
}

double slope(Kind kind, double x) {
  switch (kind) {
    case Kind::swiglu:
    case Kind::silu: {
      const double s = 1 / (1 + std::exp(-x));
      return s * (1 + x * (1 - s));
    }
    case Kind::geglu:
    case Kind::gelu_tanh: {
      const double t = std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
    }
    case Kind::gelu_erf: return cdf(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
    case Kind::relu: return x > 0 ? 1 : 0;
    case Kind::squared_relu: return x > 0 ? 2 * x : 0;
  }
  return NAN;
}

TEST_CASE("activation_fwd and activation_bwd", "[loops]") {
  for (Kind kind : kKinds) {
    INFO("kind " << static_cast<int>(kind));
    for_each_case([&](DType dtype, int64_t rows, int64_t cols) {
      const int64_t width = is_gated(kind) ? 2 * cols : cols;
      GuardedTensor x = normal_tensor(dtype, {rows, width}, 1, 3.0), d_y = normal_tensor(dtype, {rows, cols}, 2);
      GuardedTensor y(dtype, {rows, cols}), d_x(dtype, {rows, width});
      std::vector<double> want(static_cast<size_t>(y.size())), want_d(static_cast<size_t>(x.size()));
      for (int64_t n = 0; n < rows; ++n)
        for (int64_t c = 0; c < cols; ++c) {
          const int64_t at = n * width + c;
          const double up = is_gated(kind) ? x.at(at + cols) : 1.0, d = d_y.at(n * cols + c);
          want[static_cast<size_t>(n * cols + c)] = value(kind, x.at(at)) * up;
          want_d[static_cast<size_t>(at)] = d * up * slope(kind, x.at(at));
          if (is_gated(kind)) want_d[static_cast<size_t>(at + cols)] = d * value(kind, x.at(at));
        }
      backend().activation_fwd({.kind = kind, .x = x, .y = y});
      backend().activation_bwd({.kind = kind, .d_y = d_y, .x = x, .d_x = d_x});
      CHECK(mismatch("activation_fwd", y, want) == "");
      CHECK(mismatch("activation_bwd", d_x, want_d) == "");
    });
  }
}

TEST_CASE("activations far out and not a number", "[loops]") {
  for (Kind kind : {Kind::gelu_tanh, Kind::gelu_erf, Kind::silu, Kind::relu}) {
    INFO("kind " << static_cast<int>(kind));
    GuardedTensor x(DType::f32, {1, 5}), y(DType::f32, {1, 5}), d_y(DType::f32, {1, 5}), d_x(DType::f32, {1, 5});
    const double inputs[] = {-1e4, -100, 100, 1e4, NAN};
    x.fill([&](int64_t i) { return inputs[i]; });
    d_y.fill([](int64_t) { return 1.0; });
    backend().activation_fwd({.kind = kind, .x = x, .y = y});
    backend().activation_bwd({.kind = kind, .d_y = d_y, .x = x, .d_x = d_x});
    CHECK(std::fabs(y.at(0)) < 1e-30);
    CHECK(std::fabs(y.at(1)) < 1e-30);
    CHECK(y.at(2) == 100);
    CHECK(y.at(3) == 1e4);
    CHECK(std::isnan(y.at(4)));
    for (int64_t i = 0; i < 4; ++i) CHECK(d_x.at(i) == Approx(i < 2 ? 0.0 : 1.0).margin(1e-30));
  }
}

}  // namespace
}  // namespace mbt::test::activation_test

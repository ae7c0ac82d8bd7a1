#include "core/ops/activation.h"

#include "core/reference/activation.h"
#include "tests/support/op_cases.h"

namespace mbt::test::activation_test {
namespace {

using Kind = ActivationKind;
constexpr Kind kKinds[] = {Kind::swiglu, Kind::geglu, Kind::gelu_tanh, Kind::gelu_erf, Kind::silu, Kind::relu, Kind::squared_relu};

TEST_CASE("activation_fwd and activation_bwd", "[loops]") {
  for (Kind kind : kKinds) {
    INFO("kind " << static_cast<int>(kind));
    for_each_case([&](DType dtype, int64_t rows, int64_t cols) {
      const int64_t width = is_gated(kind) ? 2 * cols : cols;
      GuardedTensor x = normal_tensor(dtype, {rows, width}, 1, 3.0), d_y = normal_tensor(dtype, {rows, cols}, 2);
      GuardedTensor y(dtype, {rows, cols}), d_x(dtype, {rows, width});
      const ref::ActivationReference want(kind, rows, x, d_y);
      backend().activation_fwd({.kind = kind, .x = x, .y = y});
      backend().activation_bwd({.kind = kind, .d_y = d_y, .x = x, .d_x = d_x});
      CHECK(mismatch("activation_fwd", y, want.y) == "");
      CHECK(mismatch("activation_bwd", d_x, want.d_x) == "");
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

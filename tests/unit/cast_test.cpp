#include "core/ops/optimizer.h"
#include "tests/support/op_cases.h"

namespace mbt::test::cast_test {
namespace {

constexpr DType kFloats[] = {DType::f64, DType::f32, DType::bf16, DType::f16};

TEST_CASE("cast rounds once, from any float type to any other", "[loops]") {
  for (DType from : kFloats)
    for (DType to : kFloats)
      for (int64_t n : {1, 31, 64, 129, 5000}) {
        INFO(name_of(from) << " to " << name_of(to) << " of " << n);
        GuardedTensor src = normal_tensor(from, {n}, 1, 100.0), dst(to, {n});
        std::vector<double> want;
        for (double x : src.values()) want.push_back(round_to(to, x));
        backend().cast({.src = src, .dst = dst});
        CHECK(dst.values() == want);
        CHECK(dst.guards_intact());
      }
}

TEST_CASE("cast from f64 to 16 bits does not round twice", "[loops]") {
  // Just above a midpoint of neighbors, by less than fp32 can see: by way of fp32 these would round to even, downwards.
  const double above_bf16 = 1.0 + 0x1p-8 + 0x1p-40, above_f16 = 1.0 + 0x1p-11 + 0x1p-40;
  GuardedTensor src(DType::f64, {4}), bf16(DType::bf16, {4}), f16(DType::f16, {4});
  const double inputs[] = {above_bf16, -above_bf16, above_f16, -above_f16};
  src.fill([&](int64_t i) { return inputs[i]; });
  backend().cast({.src = src, .dst = bf16});
  backend().cast({.src = src, .dst = f16});
  CHECK(bf16.at(0) == 1.0 + 0x1p-7);
  CHECK(bf16.at(1) == -1.0 - 0x1p-7);
  CHECK(f16.at(2) == 1.0 + 0x1p-10);
  CHECK(f16.at(3) == -1.0 - 0x1p-10);
}

TEST_CASE("cast keeps NaN and infinities and overflows to infinity", "[loops]") {
  for (DType from : {DType::f64, DType::f32})
    for (DType to : {DType::bf16, DType::f16}) {
      GuardedTensor src(from, {5}), dst(to, {5});
      const double inputs[] = {INFINITY, -INFINITY, NAN, 3.4028e38, 0.0};
      src.fill([&](int64_t i) { return inputs[i]; });
      backend().cast({.src = src, .dst = dst});
      CHECK(dst.at(0) == INFINITY);
      CHECK(dst.at(1) == -INFINITY);
      CHECK(std::isnan(dst.at(2)));
      CHECK(dst.at(3) == INFINITY);
      CHECK(dst.at(4) == 0.0);
    }
}

TEST_CASE("cast of integers is refused", "[loops]") {
  Indices integers(4, 10, 1);
  GuardedTensor dst(DType::f32, {4});
  CHECK_THROWS_WITH(backend().cast({.src = integers, .dst = dst}), ContainsSubstring("cast: i32[4] to f32[4]"));
}

}  // namespace
}  // namespace mbt::test::cast_test

// A cast's bits are the CPU's for every 16-bit value and for patterns of the wider formats around everything that rounds: NaN with their
// payloads and signs, infinities, subnormals, ties.
#include <cstring>

#include "core/ops/optimizer.h"
#include "tests/support/op_cases.h"

namespace mbt::test::cast_bits_test {
namespace {

constexpr DType kFloats[] = {DType::f64, DType::f32, DType::bf16, DType::f16};

std::vector<uint16_t> all_of_16_bits() {
  std::vector<uint16_t> all;
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) all.push_back(static_cast<uint16_t>(bits));
  return all;
}

/// Every sign and exponent with mantissas at and around the ties of narrower formats.
template <class T, int kMantissa>
std::vector<T> patterns() {
  constexpr uint64_t kOne = 1, kBf16Unit = kOne << (kMantissa - 7), kF16Unit = kOne << (kMantissa - 10),
                     kF32Unit = kOne << (kMantissa > 23 ? kMantissa - 23 : 0);
  std::vector<T> all;
  std::mt19937_64 random(1);
  for (uint64_t top = 0; top < kOne << (8 * sizeof(T) - kMantissa); ++top) {
    std::vector<uint64_t> mantissas{0, 1, ~uint64_t{0}, random(), random()};
    for (uint64_t unit : {kBf16Unit, kF16Unit, kF32Unit})
      for (uint64_t tie : {unit / 2, unit / 2 + unit}) mantissas.insert(mantissas.end(), {tie - 1, tie, tie + 1});
    for (uint64_t m : mantissas) all.push_back(static_cast<T>(top << kMantissa | (m & ((kOne << kMantissa) - 1))));
  }
  return all;
}

/// All bits that a tensor of `dtype` may hold, or many of them.
GuardedTensor pattern_tensor(DType dtype) {
  const auto filled = [&](const auto& bits) {
    GuardedTensor t(dtype, {static_cast<int64_t>(bits.size())});
    std::memcpy(TensorView(t).data, bits.data(), bits.size() * sizeof(bits[0]));
    return t;
  };
  if (dtype == DType::f64) return filled(patterns<uint64_t, 52>());
  if (dtype == DType::f32) return filled(patterns<uint32_t, 23>());
  return filled(all_of_16_bits());
}

TEST_CASE("cast has the CPU's bits") {
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  for (DType from : kFloats) {
    GuardedTensor src = pattern_tensor(from);
    for (DType to : kFloats) {
      INFO(name_of(from) << " to " << name_of(to));
      GuardedTensor got(to, {src.size()}), want = got;
      backend().cast({.src = src, .dst = got});
      cpu->cast({.src = src, .dst = want});
      CHECK(got.same_bits(want));
    }
  }
}

}  // namespace
}  // namespace mbt::test::cast_bits_test

#include "core/ops/cross_entropy.h"

#include "core/reference/cross_entropy.h"
#include "tests/support/op_cases.h"

namespace mbt::test::cross_entropy_test {
namespace {

struct Case {
  int64_t rows, vocab, padded;
};
// 32,000 and 79,536: the device's last full round of packs is one of some threads, not of all, in blocks of 512 and (f32) of 1024.
constexpr Case kCases[] = {{1, 1, 1},         {3, 31, 31},       {17, 50, 64},      {33, 1025, 1152},   {2, 5000, 5000},
                           {3, 20001, 20008}, {3, 32000, 32000}, {2, 79536, 79536}, {2, 100003, 100008}};

TEST_CASE("cross_entropy: loss, gradient in place, padding", "[loops]") {
  for (DType dtype : kActTypes)
    for (const Case& c : kCases) {
      INFO(name_of(dtype) << " [" << c.rows << "," << c.vocab << " of " << c.padded << "]");
      const float d_scale = 0.25f;
      GuardedTensor logits = normal_tensor(dtype, {c.rows, c.padded}, 1, 4.0), loss(DType::f32, {c.rows}), mask(DType::f32, {c.rows});
      Indices targets(c.rows, static_cast<int32_t>(c.vocab), 2);
      mask.fill([](int64_t n) { return n % 4 == 1 ? 0.0 : n % 4 == 2 ? 0.5 : 1.0; });
      for (int64_t n = 0; n < c.rows; ++n)
        for (int64_t v = c.vocab; v < c.padded; ++v) logits.set(n * c.padded + v, 100);  // padding must not take part
      const ref::CrossEntropyReference want(c.vocab, c.padded, logits, targets.values(), mask, d_scale);
      const std::vector<double> before = logits.values();
      CrossEntropyArgs args{.logits = logits,
                            .targets = targets,
                            .loss_mask = mask,
                            .loss = loss,
                            .vocab_size = c.vocab,
                            .compute_gradient = false,
                            .d_scale = d_scale};
      backend().cross_entropy(args);
      CHECK(mismatch("cross_entropy", loss, want.loss) == "");
      CHECK(logits.values() == before);
      args.compute_gradient = true;
      backend().cross_entropy(args);
      CHECK(mismatch("cross_entropy", loss, want.loss) == "");
      CHECK(mismatch("cross_entropy_grad", logits, want.gradient) == "");
    }
}

TEST_CASE("cross_entropy takes its scale from the device: the same bits", "[loops]") {
  for (DType dtype : kActTypes) {
    const GuardedTensor start = normal_tensor(dtype, {9, 70}, 1, 4.0);
    GuardedTensor by_value = start, on_device = start, loss(DType::f32, {9}), mask(DType::f32, {9}), scale(DType::f32, {1});
    mask.fill([](int64_t n) { return n % 3 == 1 ? 0.5 : 1.0; });
    scale.set(0, 0.37);
    Indices targets(9, 65, 2);
    CrossEntropyArgs args{.logits = by_value,
                          .targets = targets,
                          .loss_mask = mask,
                          .loss = loss,
                          .vocab_size = 65,
                          .compute_gradient = true,
                          .d_scale = 0.37f};
    backend().cross_entropy(args);
    args.logits = on_device, args.d_scale = 1.0f, args.device_scale = scale;
    backend().cross_entropy(args);
    CHECK(on_device.same_bits(by_value));
    CHECK_FALSE(on_device.same_bits(start));
  }
}

TEST_CASE("cross_entropy of large logits neither overflows nor loses the loss", "[loops]") {
  GuardedTensor logits(DType::f32, {1, 3}), loss(DType::f32, {1}), mask(DType::f32, {1});
  logits.fill([](int64_t i) { return i == 0 ? 3e4 : i == 1 ? -3e4 : 2.9999e4; });
  mask.fill([](int64_t) { return 1.0; });
  Indices targets(1, 1, 0);
  targets[0] = 1;
  backend().cross_entropy(
      {.logits = logits, .targets = targets, .loss_mask = mask, .loss = loss, .vocab_size = 3, .compute_gradient = true, .d_scale = 1.0f});
  CHECK(loss.at(0) == Approx(6e4 + std::log(1 + std::exp(-1.0))));
  CHECK(logits.at(1) == -1.0);
}

TEST_CASE("cross_entropy reports NaN logits in the loss and refuses targets outside the vocabulary", "[loops]") {
  GuardedTensor logits(DType::f32, {1, 40}), loss(DType::f32, {1}), mask(DType::f32, {1});
  logits.set(33, NAN);
  mask.fill([](int64_t) { return 1.0; });
  Indices targets(1, 1, 0);
  CrossEntropyArgs args{.logits = logits, .targets = targets, .loss_mask = mask, .loss = loss, .vocab_size = 40, .compute_gradient = false};
  backend().cross_entropy(args);
  CHECK(std::isnan(loss.at(0)));
  targets[0] = 40;
  CHECK_THROWS_WITH(backend().cross_entropy(args), ContainsSubstring("targets[0] is 40, expected 0 to 39"));
}

}  // namespace
}  // namespace mbt::test::cross_entropy_test

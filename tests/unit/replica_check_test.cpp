// Weights that have come apart between ranks are noticed, and named.
#include "core/parallel/replica_check.h"

#include "core/model/initialize.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/resolved.h"
#include "tests/support/thread_world.h"

namespace mbt::test::replica_check_test {

namespace {

/// What three ranks say when `spoil` has changed the weights of the last.
std::vector<std::string> check(const std::string& recipe, const std::function<void(Backend&, Weights&)>& spoil) {
  const RunConfig c = resolved({"--mixed-precision", recipe, "--model.hidden_size", "64", "--model.num_layers", "2", "--seq-length", "32"});
  const PrecisionPolicy policy = make_policy(c.model, c.ddp);
  return run_threads(3, [&](World& world) {
    const auto backend = make_backend("cpu", 1);
    Weights weights(*backend, c.model, policy, true);
    initialize_weights(weights, c.model, 1);
    weights.refresh_working();
    if (world.rank() == 2) spoil(*backend, weights);
    check_replicas(*backend, world, weights);
  });
}

void flip_byte(Backend& backend, void* at) {
  const TensorView byte(at, DType::u8, {1});
  uint8_t value = 0;
  backend.download(byte, &value);
  value ^= 1;
  backend.upload(&value, byte);
}

}  // namespace

TEST_CASE("ranks with the same weights pass, and one bit in one of them does not") {
  for (const std::string recipe : {"fp32", "bf16_mixed", "bf16_with_fp8_current_scaling_mixed", "bf16_with_nvfp4_mixed"}) {
    CAPTURE(recipe);
    CHECK(check(recipe, [](Backend&, Weights&) {}) == nothing_thrown(3));
    const auto thrown =
        check(recipe, [](Backend& b, Weights& w) { flip_byte(b, w.working(w.params().index_of("layers.1.input_norm.weight")).data); });
    for (const std::string& what : thrown) {
      CHECK_THAT(what, ContainsSubstring("layers.1.input_norm.weight"));
      CHECK_THAT(what, ContainsSubstring("not on rank 2 ("));
    }
  }
}

TEST_CASE("codes and scales count where weights exist as nothing else") {
  const std::string recipe = "bf16_with_fp8_delayed_scaling_mixed";
  const auto fc1 = [](Weights& w) { return w.quantized(w.params().index_of("layers.0.fc1.weight")).rowwise; };
  for (const auto& thrown : {check(recipe, [&](Backend&b, Weights&w) { flip_byte(b, fc1(w).codes); }),
                             check(recipe, [&](Backend&b, Weights&w) { flip_byte(b, fc1(w).scale_inv); })})
    for (const std::string& what : thrown) CHECK_THAT(what, ContainsSubstring("layers.0.fc1.weight"));
}

}  // namespace mbt::test::replica_check_test

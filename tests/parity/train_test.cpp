// A tiny model trains end to end through the CUDA backend: model, optimizer and trainer are the ones that run on the CPU.
#include "kernels/cuda/cuda_backend.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace mbt;
using namespace mbt::test;

namespace {

/// Of a loss, relative: what sums in another order change in a few steps. Quantised codes may then differ where a value lies at the edge of
/// two, which a 16-bit run does not amplify further in so short a time.
double tolerance_of(const RunConfig& c) { return c.model.bf16 || c.model.fp16 ? 2e-3 : 2e-6; }

}  // namespace

TEST_CASE("every recipe trains on the device as on the CPU, the same bits on every run") {
  for (const std::string& recipe : all_recipes()) {
    INFO(recipe);
    const RunConfig c = tiny(recipe, {"--train-iters", "3", "--model.num_layers", "2"});
    const Run cpu = train(c);
    Run first, second;
    cuda::CudaBackend device, other;
    train(c, first, device);
    train(c, second, other);
    CHECK(losses(first) == losses(second));
    REQUIRE(first.steps.size() == cpu.steps.size());
    for (size_t i = 0; i < cpu.steps.size(); ++i) {
      CHECK(first.steps[i].loss == Approx(cpu.steps[i].loss).epsilon(tolerance_of(c)));
      CHECK(first.steps[i].was_skipped == cpu.steps[i].was_skipped);
    }
  }
}

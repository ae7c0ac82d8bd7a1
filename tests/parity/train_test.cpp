// A tiny model trains end to end through the CUDA backend: model, optimizer and trainer are the ones that run on the CPU.
#include "kernels/cuda/cuda_backend.h"
#include "tests/parity/loss_tolerance.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace mbt;
using namespace mbt::test;

TEST_CASE("moments in bf16 train on the device as on the CPU") {
  const RunConfig c = tiny("bf16_mixed", {"--train-iters", "3", "--model.num_layers", "1", "--use-precision-aware-optimizer", "--exp-avg-dtype",
                                          "bf16", "--exp-avg-sq-dtype", "bf16"});
  const Run cpu = train(c);
  Run gpu;
  cuda::CudaBackend device;
  train(c, gpu, device);
  for (size_t i = 0; i < cpu.steps.size(); ++i) CHECK(gpu.steps[i].loss == Approx(cpu.steps[i].loss).epsilon(loss_tolerance(c)));
}

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
      CHECK(first.steps[i].loss == Approx(cpu.steps[i].loss).epsilon(loss_tolerance(c)));
      CHECK(first.steps[i].was_skipped == cpu.steps[i].was_skipped);
    }
  }
}

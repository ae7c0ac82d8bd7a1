// A tiny model trains end to end through the CUDA backend: model, optimizer and trainer are the ones that run on the CPU.
#include "kernels/cuda/cuda_backend.h"
#include "tests/parity/loss_tolerance.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::train_test {

TEST_CASE("moments in bf16 train on the device as on the CPU") {
  const RunConfig c = tiny("bf16_mixed", {"--train-iters", "3", "--model.num_layers", "1", "--use-precision-aware-optimizer",
                                          "--exp-avg-dtype", "bf16", "--exp-avg-sq-dtype", "bf16"});
  const Run cpu = train(c);
  Run gpu;
  cuda::CudaBackend device;
  train(c, gpu, device);
  for (size_t i = 0; i < cpu.steps.size(); ++i) CHECK(gpu.steps[i].loss == Approx(cpu.steps[i].loss).epsilon(loss_tolerance(c)));
}

TEST_CASE("models whose heads are wide enough train through tiled attention as on the CPU") {
  // Three layers: most recipes keep the first and the last in 16 bits.
  for (const char* recipe : {"bf16_mixed", "fp16_mixed", "bf16_with_fp8_delayed_scaling_mixed", "bf16_with_nvfp4_mixed"}) {
    INFO(recipe);
    const RunConfig c =
        tiny(recipe, {"--train-iters", "2", "--model.num_layers", "3", "--model.kv_channels", "64", "--model.num_attention_heads", "2",
                      "--num-query-groups", "1", "--recompute-granularity", "selective"});
    const Run cpu = train(c);
    Run gpu;
    cuda::CudaBackend device;
    REQUIRE(device.attention_support(AttentionBackend::automatic, {c.model.bf16 ? DType::bf16 : DType::f16, 64, 32, 0.125F}).path ==
            "flash");
    train(c, gpu, device);
    REQUIRE(gpu.steps.size() == cpu.steps.size());
    // Tiles round probabilities to 16 bits: half of the outputs move by a unit, which turns some 2 % of FP4's codes to the next. That is a
    // quarter of FP4's own noise in variance, half of it in size, and its own noise moves this loss by 0.4 %.
    const double tolerance = std::string(recipe).find("nvfp4") != std::string::npos ? 1e-2 : loss_tolerance(c);
    for (size_t i = 0; i < cpu.steps.size(); ++i) CHECK(gpu.steps[i].loss == Approx(cpu.steps[i].loss).epsilon(tolerance));
  }
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

}  // namespace mbt::test::train_test

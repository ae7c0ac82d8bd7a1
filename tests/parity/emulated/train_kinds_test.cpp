// Training on every kind of GPU: native products on some, decoded ones on others, transposed copies where products want them.
#include "core/train/plan/plan_memory.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/emulation/engine/settings.h"
#include "tests/parity/loss_tolerance.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::train_kinds_test {

TEST_CASE("recipes train on every kind of GPU as on the CPU, natively or decoded") {
  const emulation::RunOnce once;
  for (const int capability : {80, 89, 100, 120}) {
    const emulation::WithCapability as(capability);
    for (const char* recipe :
         {"bf16_with_fp8_delayed_scaling_mixed", "bf16_with_fp8_current_scaling_mixed", "fp16_with_fp8_subchannel_scaling_mixed",
          "bf16_with_fp8_subchannel_scaling_mixed", "bf16_with_mxfp8_mixed", "bf16_with_nvfp4_mixed"}) {
      INFO(capability << " " << recipe);
      const RunConfig c = tiny(recipe, {"--train-iters", "2", "--model.num_layers", "3", "--model.ffn_hidden_size", "64"});
      const Run cpu = train(c);
      Run run;
      cuda::CudaBackend device;
      require_sizes(c, make_policy(c.model, c.ddp), queries_of(device));
      train(c, run, device);
      REQUIRE(run.steps.size() == cpu.steps.size());
      for (size_t i = 0; i < cpu.steps.size(); ++i) CHECK(run.steps[i].loss == Approx(cpu.steps[i].loss).epsilon(loss_tolerance(c)));
    }
  }
}

TEST_CASE("the plan counts what the model allocates on this device, transposed copies too") {
  for (const int capability : {80, 90, 120}) {
    const emulation::WithCapability as(capability);
    for (const std::string& recipe : all_recipes())
      for (const std::optional<RecomputeGranularity> recompute :
           {std::optional<RecomputeGranularity>(), std::optional(RecomputeGranularity::selective),
            std::optional(RecomputeGranularity::full)}) {
        INFO(capability << " " << recipe << " " << (recompute ? name_of(*recompute) : "none"));
        RunConfig c = tiny(recipe, {"--model.num_layers", "3", "--model.ffn_hidden_size", "64"});
        c.model.recompute_granularity = recompute;
        const PrecisionPolicy policy = make_policy(c.model, c.ddp);
        cuda::CudaBackend device;
        int64_t planned = 0;
        for (const MemoryItem& item : plan_memory(c, policy, queries_of(device), 1))
          if (item.category != "kernels" && item.category != "device_scratch") planned += item.bytes;
        Weights weights(device, c.model, policy, true);
        const Transformer transformer(device, c.model, policy, weights, c.train.micro_batch_size, true);
        CHECK(static_cast<int64_t>(device.allocated_bytes()) == planned);
      }
  }
}

}  // namespace mbt::test::train_kinds_test

// The losses of every recipe on the emulated device, for scripts/compare_builds.sh. Hidden: runs only when it is asked for, checks nothing.
#include <cstdio>

#include "kernels/cuda/cuda_backend.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::print_losses {

namespace {

/// Two layers more than the recipe keeps in 16 bits, so that some of them are quantized. With fp16's own first loss scale, which is too
/// high for a start, all five steps would be skipped.
RunConfig five_steps(const std::string& recipe) {
  const ModelConfig model = tiny(recipe).model;
  const int64_t kept = model.first_last_layers_bf16 ? model.num_layers_at_start_in_bf16 + model.num_layers_at_end_in_bf16 : 0;
  std::vector<std::string> more = {"--train-iters", "5", "--model.num_layers", std::to_string(kept + 2)};
  if (model.fp16) more.insert(more.end(), {"--mixed-precision.initial_loss_scale", "1024"});
  return tiny(recipe, more);
}

}  // namespace

TEST_CASE("five steps of every recipe on the emulated device", "[.][print_losses]") {
  for (const std::string& recipe : all_recipes()) {
    Run run;
    cuda::CudaBackend device;
    train(five_steps(recipe), run, device);
    std::printf("losses %s:", recipe.c_str());
    // Hexadecimal: every bit of the number.
    for (const double loss : losses(run)) std::printf(" %a", loss);
    std::printf("\n");
    std::fflush(stdout);
  }
}

}  // namespace mbt::test::print_losses

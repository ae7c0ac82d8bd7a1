// The ranges that a profiler sees of a step.
#include <nvtx3/nvToolsExt.h>

#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "tests/emulation/engine/settings.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::profile_ranges_test {

TEST_CASE("ranges name step, micro-batch, direction and layer, and each is closed") {
  const emulation::RunOnce once;
  emulation::Ranges& ranges = emulation::ranges();
  ranges = {};
  ranges.is_listening = true;
  RunConfig c = tiny("bf16_mixed", {"--train-iters", "1", "--model.num_layers", "2"});
  c.train.cuda_graph = false;
  Run run;
  cuda::CudaBackend device;
  train(c, run, device);
  const auto count = [&](const char* path) { return std::count(ranges.paths.begin(), ranges.paths.end(), path); };
  CHECK(count("step") == 1);
  CHECK(count("step/micro-batch") == 2);
  CHECK(count("step/micro-batch/forward/layer 1") == 2);
  CHECK(count("step/micro-batch/head and loss") == 2);
  CHECK(count("step/micro-batch/backward/layer 0") == 2);
  CHECK(count("step/optimizer") == 1);
  CHECK(ranges.open.empty());
  ranges = {};
}

}  // namespace mbt::test::profile_ranges_test

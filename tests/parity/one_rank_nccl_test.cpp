// NCCL itself with one rank, where there is a GPU: what can be told of it without a second. On the emulated device its twin.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/nccl/nccl_collectives.h"
#include "kernels/cuda/nccl/nccl_library.h"
#include "tests/support/catch.h"
#include "tests/support/collective_cases.h"
#if defined(MBT_EMULATED_DEVICE)
#include "tests/emulation/nccl/nccl_twin.h"
#endif

namespace mbt::test::one_rank_nccl_test {

TEST_CASE("one rank connects, calls every collective and ends") {
  SingleWorld world;
#if defined(MBT_EMULATED_DEVICE)
  emulation::set_nccl_world(&world);
#endif
  if (const std::string problem = cuda::nccl_problem(); !problem.empty()) {
    WARN(problem);
    return;
  }
  cuda::CudaBackend device;  // selects the GPU
  const cuda::Stream compute;
  cuda::HostWait wait;
  size_t scratch_bytes = 0;
  cuda::NcclCollectives collectives(world, {compute.get(), wait, scratch_bytes}, 1024);
  CHECK_THAT(collectives.name(), ContainsSubstring("NCCL 2."));
  const Tested tested{.collectives = collectives, .finish = [&] { wait.stream(compute.get(), "the test"); }, .rounds_each_addition = true};
  for (int64_t n : {1, 333}) CHECK_NOTHROW(check_collectives(tested, n));
}

}  // namespace mbt::test::one_rank_nccl_test

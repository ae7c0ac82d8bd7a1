// The self-test's list on the CUDA backend: on the GPU, and on the emulated device.
#include "core/selftest/checks.h"
#include "core/selftest/proofs.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/support/catch.h"
#include "tests/support/resolved.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::selftest_test {

using namespace mbt::selftest;

TEST_CASE("selftest: all checks pass on the device") {
  cuda::CudaBackend device;
  for (const Check& c : all_checks()) {
    const CheckResult r = run_check(c, device);
    INFO(c.name << ": " << r.outcome.note);
    CHECK(r.error == "");
    CHECK(r.outcome.difference <= r.outcome.allowed);
  }
}

TEST_CASE("selftest: the device proves a recipe at its first start, and not at the second") {
  const TemporaryFolder folder;
  cuda::CudaBackend device;
  CHECK_THAT(device.identity(),
             ContainsSubstring("compute capability ") && ContainsSubstring("cuBLASLt") && !ContainsSubstring("algorithms"));
  const Checks checks = checks_for(resolved({"--mixed-precision", "bf16_with_fp8_current_scaling_mixed"}));
  for (const size_t wanted : {checks.size(), size_t{0}}) {
    Proofs proofs(folder.path("selftest.json"), device.identity(), [](const std::string& text) { FAIL_CHECK(text); });
    CHECK(require_proof(checks, device, proofs) == wanted);
  }
}

}  // namespace mbt::test::selftest_test

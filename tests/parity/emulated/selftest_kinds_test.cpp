// The self-test's products and codes on every kind of GPU: native on some, decoded on others, transposed copies where products want them.
#include "core/selftest/checks.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/emulation/engine/settings.h"
#include "tests/support/catch.h"

namespace mbt::test::selftest_kinds_test {

TEST_CASE("selftest: products, quantization and ops that write codes pass on every kind of GPU") {
  const emulation::RunOnce once;
  for (const int capability : {80, 89, 100, 120}) {
    const emulation::WithCapability as(capability);
    cuda::CudaBackend device;
    for (const selftest::Check& c : selftest::all_checks()) {
      if (c.name.rfind("gemm.", 0) != 0 && c.name.rfind("quantize", 0) != 0 && c.name.rfind("fused.", 0) != 0) continue;
      const selftest::CheckResult r = run_check(c, device);
      INFO(capability << " " << c.name << ": " << r.outcome.note);
      CHECK(r.error == "");
      if (c.name.ends_with(".aligned")) CHECK(r.outcome.note.rfind("this device takes no", 0) != 0);  // it was compared
      CHECK(r.outcome.difference <= r.outcome.allowed);
    }
  }
}

}  // namespace mbt::test::selftest_kinds_test

// Why a GPU cannot be used: each reason is named, with what to do.
#include "kernels/gpus.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace mbt::test::gpus_test {
namespace {

const CudaBuild kBuild{.is_built_in = true, .runtime = 13000, .architectures = {"90a"}};

GpuDevice gpu(int major, int minor, const char* name = "") {
  GpuDevice device;
  device.name = name, device.major = major, device.minor = minor;
  return device;
}

/// A machine where all is well.
GpuProbe hopper() {
  return {
      .has_driver = true, .driver_error = "", .driver_release = "580.65.06", .driver_cuda = 13000, .devices = {gpu(9, 0, "NVIDIA H100")}};
}

TEST_CASE("a GPU of the built architecture under a new driver is usable") {
  CHECK(gpu_problem(hopper(), kBuild).empty());
  GpuProbe newer = hopper();
  newer.driver_cuda = 14010;
  CHECK(gpu_problem(newer, kBuild).empty());
  CudaBuild minor = kBuild;
  minor.runtime = 13020;  // any driver of one major version runs any runtime of it
  CHECK(gpu_problem(hopper(), minor).empty());
}

TEST_CASE("each reason why a GPU cannot be used is named") {
  CHECK_THAT(gpu_problem(hopper(), {}), ContainsSubstring("built without CUDA") && ContainsSubstring("-DMBT_CUDA=ON"));
  CHECK_THAT(gpu_problem({.driver_error = "libcuda.so.1: no such file", .driver_release = "", .devices = {}}, kBuild),
             ContainsSubstring("no NVIDIA driver") && ContainsSubstring("no such file"));
  GpuProbe old = hopper();
  old.driver_cuda = 12040;
  CHECK_THAT(gpu_problem(old, kBuild),
             ContainsSubstring("driver 580.65.06 is too old: it runs CUDA up to 12.4") && ContainsSubstring("CUDA 13.0"));
  GpuProbe broken = hopper();
  broken.driver_error = "system has unsupported display driver / cuda driver combination (803)";
  CHECK_THAT(gpu_problem(broken, kBuild), ContainsSubstring("does not start") && ContainsSubstring("803"));
  GpuProbe empty = hopper();
  empty.devices.clear();
  CHECK_THAT(gpu_problem(empty, kBuild), ContainsSubstring("sees no GPU"));
  GpuProbe volta = hopper();
  volta.devices[0] = gpu(7, 0, "Tesla V100");
  CHECK_THAT(gpu_problem(volta, kBuild), ContainsSubstring("'Tesla V100' (compute capability 7.0) is too old, expected 8.0"));
  GpuProbe ampere = hopper();
  ampere.devices[0] = gpu(8, 0, "NVIDIA A100");
  CHECK_THAT(gpu_problem(ampere, kBuild), ContainsSubstring("no code for") && ContainsSubstring("-DCMAKE_CUDA_ARCHITECTURES=80"));
}

TEST_CASE("each rank's own GPU is asked about") {
  GpuProbe probe = hopper();
  probe.devices.push_back(gpu(7, 0, "Tesla V100"));
  CHECK(gpu_problem(probe, kBuild, 0).empty());
  CHECK_THAT(gpu_problem(probe, kBuild, 1), ContainsSubstring("'Tesla V100'"));
  for (int missing : {2, -1}) {
    CHECK_THAT(gpu_problem(probe, kBuild, missing),
               ContainsSubstring(fmt::format("there is no GPU {}, the driver shows 2 (0 to 1)", missing)));
  }
}

TEST_CASE("which architectures run on which GPU") {
  const GpuDevice a100 = gpu(8, 0), ada = gpu(8, 9), hopper = gpu(9, 0), blackwell = gpu(10, 0), blackwell_ultra = gpu(10, 3);
  CHECK(runs_on("90a", hopper));
  CHECK_FALSE(runs_on("90a", blackwell));
  CHECK_FALSE(runs_on("90a", ada));
  CHECK(runs_on("100f", blackwell_ultra));
  CHECK_FALSE(runs_on("100a", blackwell_ultra));
  CHECK(runs_on("80-real", ada));
  CHECK_FALSE(runs_on("80-real", hopper));
  CHECK_FALSE(runs_on("89", a100));
  CHECK(runs_on("80", hopper));  // through PTX
  CHECK(runs_on("native", hopper));
}

TEST_CASE("asking this machine's driver gives devices, or the reason why there are none") {
  const GpuProbe probe = probe_gpus();
  CHECK((!probe.devices.empty() || !gpu_problem(probe, kBuild).empty()));
  CHECK((probe.has_driver || !probe.driver_error.empty()));
}

}  // namespace
}  // namespace mbt::test::gpus_test

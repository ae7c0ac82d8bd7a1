// Queries the machine's NVIDIA driver, and tells why this build can or cannot use a GPU. It loads libcuda.so.1 at run time, so it also
// works in a build without CUDA and on a machine without a driver.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace mbt {

struct GpuDevice {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  size_t total_bytes = 0;
  std::string uuid;  ///< "GPU-9f5a3c81-...": names the card, or the slice of it, whatever number it has; empty: unknown
};

struct GpuProbe {
  bool has_driver = false;     ///< libcuda.so.1 can be loaded
  std::string driver_error;    ///< why it cannot, or why it refuses to start; empty: it runs
  std::string driver_release;  ///< of the kernel module, "580.65.06"; empty: unknown
  int driver_cuda = 0;         ///< newest CUDA that it runs, 13000 for 13.0
  std::vector<GpuDevice> devices;
};
GpuProbe probe_gpus();

/// What the CUDA part of this build needs.
struct CudaBuild {
  bool is_built_in = false;
  int runtime = 0;                         ///< 13000 for 13.0
  std::vector<std::string> architectures;  ///< as CMake names them: "80", "90a", "100f", "89-real"
};
CudaBuild cuda_build();

/// Why GPU number `gpu` cannot be used, and what to do; empty: it can. The libraries beside the driver are not looked at.
std::string gpu_problem(const GpuProbe& probe, const CudaBuild& build, int gpu = 0);

/// Whether code made for a CMake architecture runs on a GPU of this compute capability.
bool runs_on(const std::string& architecture, const GpuDevice& gpu);

/// 12040 as "12.4".
std::string cuda_version_text(int version);

}  // namespace mbt

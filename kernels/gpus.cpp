#include "kernels/gpus.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>

#include "core/base/error.h"
#include "core/base/strings.h"
#if MBT_HAVE_CUDA
#include "kernels/cuda/gemm/cublaslt_library.h"
#endif

namespace mbt {
namespace {

constexpr int kOldestMajor = 8;  // what the kernels need: mma.m16n8k16 on bf16, cp.async
constexpr int kNoDevice = 100;   // CUDA_ERROR_NO_DEVICE

/// The driver's functions, by name (cuda.h: CUresult is an int, CUdevice too).
class Driver {
 public:
  explicit Driver(void* library) : library_(library) {}
  /// The status of cu<name>(args...); -1 where the driver has no such function.
  template <class... Args>
  int call(const char* name, Args... args) const {
    const auto function = reinterpret_cast<int (*)(Args...)>(dlsym(library_, name));
    return function == nullptr ? -1 : function(args...);
  }
  std::string message(int status) const {
    const char* message = nullptr;
    if (call("cuGetErrorString", status, &message) != 0 || message == nullptr) message = "unknown error";
    return fmt::format("{} ({})", message, status);
  }

 private:
  void* library_;
};

/// In CUDA_VISIBLE_DEVICES' form. A slice of a card (MIG) has an id of its own in the newer function, which older drivers lack.
std::string ask_uuid(const Driver& driver, int device) {
  std::array<unsigned char, 16> id{};  // CUuuid
  if (driver.call("cuDeviceGetUuid_v2", id.data(), device) != 0 && driver.call("cuDeviceGetUuid", id.data(), device) != 0) return "";
  std::string said = "GPU";
  for (size_t i = 0; i < id.size(); ++i) {
    constexpr const char* kDigits = "0123456789abcdef";
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) said += '-';
    said += kDigits[id[i] >> 4];
    said += kDigits[id[i] & 15];
  }
  return said;
}

GpuDevice ask_device(const Driver& driver, int index) {
  constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
  GpuDevice gpu;
  int device = 0;
  driver.call("cuDeviceGet", &device, index);
  char name[256] = {};
  driver.call("cuDeviceGetName", static_cast<char*>(name), static_cast<int>(sizeof name - 1), device);
  gpu.name = static_cast<const char*>(name);
  driver.call("cuDeviceGetAttribute", &gpu.major, kMajor, device);
  driver.call("cuDeviceGetAttribute", &gpu.minor, kMinor, device);
  driver.call("cuDeviceTotalMem_v2", &gpu.total_bytes, device);
  gpu.uuid = ask_uuid(driver, device);
  return gpu;
}

/// From "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  ...": the first word that is a version.
std::string kernel_module_release() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string word;
  while (file >> word)
    if (word.find('.') != std::string::npos && word.find_first_not_of("0123456789.") == std::string::npos) return word;
  return "";
}

std::string described(const GpuDevice& gpu) { return fmt::format("'{}' (compute capability {}.{})", gpu.name, gpu.major, gpu.minor); }

std::string no_device_text() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return fmt::format("the driver sees no GPU{}; check nvidia-smi, and that a container was started with its GPUs",
                     visible != nullptr ? fmt::format("; CUDA_VISIBLE_DEVICES is '{}'", visible) : "");
}

}  // namespace

std::string cuda_version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

GpuProbe probe_gpus() {
  GpuProbe probe;
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);  // never closed: the runtime loads it again
  if (library == nullptr) {
    const char* why = dlerror();
    probe.driver_error = why != nullptr ? why : "libcuda.so.1 cannot be loaded";
    return probe;
  }
  probe.has_driver = true;
  probe.driver_release = kernel_module_release();
  const Driver driver(library);
  driver.call("cuDriverGetVersion", &probe.driver_cuda);
  const int status = driver.call("cuInit", 0U);
  int count = 0;
  const int counted = status == 0 ? driver.call("cuDeviceGetCount", &count) : status;
  if (counted != 0 && counted != kNoDevice) probe.driver_error = driver.message(counted);
  for (int i = 0; i < count; ++i) probe.devices.push_back(ask_device(driver, i));
  return probe;
}

CudaBuild cuda_build() {
#if MBT_HAVE_CUDA
  CudaBuild build{.is_built_in = true, .runtime = cuda::runtime_version(), .architectures = {}};
  for (const std::string& architecture : split(MBT_CUDA_ARCHITECTURES, ',')) build.architectures.push_back(architecture);
  return build;
#else
  return {};
#endif
}

bool runs_on(const std::string& architecture, const GpuDevice& gpu) {
  char* end = nullptr;
  const long number = std::strtol(architecture.c_str(), &end, 10);
  if (end == architecture.c_str()) return true;  // "native", "all", "all-major": made for it, or for every one
  const std::string kind = end;
  const long major = number / 10, minor = number % 10;
  const bool same_family = gpu.major == major && gpu.minor >= minor;
  if (kind.rfind("a", 0) == 0) return gpu.major == major && gpu.minor == minor;
  if (kind.rfind("f", 0) == 0 || kind == "-real") return same_family;
  return same_family || gpu.major > major;  // PTX, which newer devices compile
}

std::string gpu_problem(const GpuProbe& probe, const CudaBuild& build, int gpu) {
  if (!build.is_built_in) return "built without CUDA; configure with -DMBT_CUDA=ON";
  if (!probe.has_driver) return fmt::format("no NVIDIA driver ({}); install it, or start the container with its GPUs", probe.driver_error);
  if (probe.driver_cuda / 1000 < build.runtime / 1000) {  // within one major version any driver runs any runtime
    return fmt::format(
        "the driver{} is too old: it runs CUDA up to {}, this mbtrain is built with CUDA {}; update the driver, or build with an older "
        "CUDA",
        probe.driver_release.empty() ? "" : " " + probe.driver_release, cuda_version_text(probe.driver_cuda),
        cuda_version_text(build.runtime));
  }
  if (!probe.driver_error.empty()) return fmt::format("the driver does not start: {}; check nvidia-smi", probe.driver_error);
  if (probe.devices.empty()) return no_device_text();
  const auto count = static_cast<int>(probe.devices.size());
  if (gpu < 0 || gpu >= count) {
    return fmt::format(
        "there is no GPU {}, the driver shows {} (0 to {}); start at most one rank for each GPU, and check CUDA_VISIBLE_DEVICES", gpu,
        count, count - 1);
  }
  const GpuDevice& device = probe.devices[static_cast<size_t>(gpu)];
  if (device.major < kOldestMajor)
    return fmt::format("the GPU {} is too old, expected {}.0 or newer; choose another with CUDA_VISIBLE_DEVICES", described(device),
                       kOldestMajor);
  const bool runs =
      std::any_of(build.architectures.begin(), build.architectures.end(), [&](const std::string& a) { return runs_on(a, device); });
  if (!runs) {
    return fmt::format("this mbtrain has no code for the GPU {}, only for {}; build with -DCMAKE_CUDA_ARCHITECTURES={}{}",
                       described(device), join(build.architectures, ", "), device.major, device.minor);
  }
  return "";
}

}  // namespace mbt

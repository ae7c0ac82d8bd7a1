// The op tests' backend and memory in the parity suite: the CUDA backend, on the GPU or on the emulated device.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#include "core/backend/timing_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/gemm/cublaslt_library.h"
#include "kernels/cuda/make_cuda_backend.h"
#include "kernels/gpus.h"
#include "tests/support/op_cases.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test {
namespace {

/// Waits for every op, so that a test may look at the tensors after each.
class WaitingBackend {
 public:
  Backend& get() { return timing_; }

 private:
  cuda::CudaBackend cuda_;
  TimingBackend timing_{cuda_};
};

void* allocate(size_t bytes) {
  void* data = nullptr;
  return cudaMallocManaged(&data, bytes) == cudaSuccess ? data : nullptr;
}

/// Two backends of one process agree on algorithms, and so on bits, through the file of remembered ones: one of this process's own.
void remember_algorithms_here() {
  static const TemporaryFolder folder;
  setenv("MBTRAIN_GEMM_ALGORITHMS", folder.path("algorithms.json").c_str(), 1);
}

/// Without a usable GPU nothing here can run: the reason, and the exit code that ctest lists as skipped (tests/parity/CMakeLists.txt).
void skip_without_gpu() {
#if !defined(MBT_EMULATED_DEVICE)
  constexpr int kSkipped = 77;
  std::string problem = gpu_problem(probe_gpus(), cuda_build());
  if (problem.empty()) problem = cuda::cublaslt_problem();
  if (problem.empty()) return;
  std::fprintf(stderr, "skipped: no usable NVIDIA GPU: %s\n", problem.c_str());
  std::exit(kSkipped);
#endif
}

// Before main, and so before any tensor.
[[maybe_unused]] const bool memory_is_set = [] {
  skip_without_gpu();
  remember_algorithms_here();
  test_memory() = {.allocate = allocate, .release = [](void* data) { static_cast<void>(cudaFree(data)); }};
  return true;
}();

}  // namespace

Backend& backend() {
  static WaitingBackend waiting;
  return waiting.get();
}

Backend& tested_backend(int) { return backend(); }

}  // namespace mbt::test

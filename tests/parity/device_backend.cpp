// The op tests' backend and memory in the parity suite: the CUDA backend, on the GPU or on the emulated device.
#include <cuda_runtime.h>

#include "core/backend/timing_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/support/op_cases.h"

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

// Before main, and so before any tensor.
[[maybe_unused]] const bool memory_is_set = [] {
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

// The one way to launch a kernel. The same call runs on the GPU and on the emulated device of tests/emulation.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>

#include "core/base/error.h"
#if defined(MBT_EMULATED_DEVICE)
#include <mbt_emulated_launch.h>
#endif

namespace mbt::cuda {

struct LaunchShape {
  dim3 grid;                ///< blocks
  dim3 block;               ///< threads
  size_t shared_bytes = 0;  ///< dynamic shared memory per block; above 48 KiB allow_shared_bytes() comes first
};

/// Returns whether an earlier kernel caused the error. CUDA reports such an error late, from a later call, and the context is then lost.
inline bool is_of_earlier_kernel(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert: return true;
    default: return false;
  }
}

/// Throws Error with `what` and CUDA's message unless `status` is success.
inline void check(cudaError_t status, const std::string& what) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // it is told here; a later check is about later calls
  const char* const late = is_of_earlier_kernel(status)
                               ? ". A kernel failed in or before this; CUDA tells it late. Run again with CUDA_LAUNCH_BLOCKING=1 and "
                                 "--train.cuda_graph false: the error then names the kernel. The weights on the GPU are lost, the last "
                                 "checkpoint is not"
                               : "";
  throw Error(fmt::format("{}: {} ({}){}", what, cudaGetErrorString(status), cudaGetErrorName(status), late));
}

inline std::string describe(const char* name, const LaunchShape& shape) {
  const dim3 g = shape.grid, b = shape.block;
  return fmt::format("kernel '{}', grid ({},{},{}), block ({},{},{}), {} bytes of shared memory", name, g.x, g.y, g.z, b.x, b.y, b.z,
                     shape.shared_bytes);
}

/// Lets `kernel` be launched with up to `bytes` (at most 227 KiB on compute capability 9.0) of dynamic shared memory per block.
template <class... P>
void allow_shared_bytes(const char* name, void (*kernel)(P...), size_t bytes) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        fmt::format("kernel '{}': {} bytes of shared memory", name, bytes));
}

/// Launches kernel(arguments...) in `stream`; an empty grid launches nothing. The arguments convert to the kernel's parameters as in a
/// call. Throws Error with the kernel's name, its shape and CUDA's message when the launch is refused.
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), const LaunchShape& shape, cudaStream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "the kernel takes another number of arguments");
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  const auto submit = [&](P... parameters) {
#if defined(MBT_EMULATED_DEVICE)
    return emulation::launch(name, kernel, shape.grid, shape.block, shape.shared_bytes, stream, std::move(parameters)...);
#else
    void* addresses[] = {static_cast<void*>(&parameters)..., nullptr};  // what <<<>>> does, with the status as a value
    return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), shape.grid, shape.block, addresses, shape.shared_bytes, stream);
#endif
  };
  const cudaError_t status = submit(std::forward<A>(arguments)...);
  if (status != cudaSuccess) check(status, describe(name, shape));
}

}  // namespace mbt::cuda

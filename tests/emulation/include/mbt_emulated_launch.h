// What kernels/cuda/runtime/launch.h and kernels/cuda/device/shared.h hand to the emulated device.
#pragma once

#include "tests/emulation/engine/device.h"
#include "tests/emulation/engine/stream.h"

namespace mbt::emulation {

/// Launches kernel(arguments...) on every thread of the grid; the arguments are copied now, as CUDA does.
template <class... P>
cudaError_t launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                   P... arguments) {
  return submit_launch(reinterpret_cast<const void*>(kernel), stream,
                       {name, grid, block, shared_bytes, [kernel, arguments...] { kernel(arguments...); }});
}

}  // namespace mbt::emulation

// launch_<op>: every op of core/ops on the device. The arguments have passed their check(); all their tensors lie on the device. A launcher
// checks what its kernels could not survive (dtypes), chooses a kernel and its shape, and returns without waiting.
#pragma once

#include <cuda_runtime.h>

#include "core/backend/backend.h"
#include "kernels/cuda/runtime/fault.h"
#include "kernels/cuda/runtime/memory.h"

namespace mbt::cuda {

class Gemm;

/// Per-block maxima of one tensor, written by an earlier kernel. A kernel that needs the tensor's amax takes the largest of them. So
/// nothing has to be zeroed, and the amax is available two launches after it was requested.
struct AmaxParts {
  const float* parts = nullptr;  // [count]
  int count = 0;
};

/// What a launcher uses beside its arguments.
struct LaunchContext {
  cudaStream_t stream;
  Scratch& scratch;
  Fault* fault;          ///< for indices out of range; never null
  int multiprocessors;   ///< of the device: how many blocks fill it
  Gemm* gemm = nullptr;  ///< launch_gemm needs it
  /// For launch_quantize: the maxima of x, when the kernel that produced x has written them. launch_quantize then does not compute them and
  /// does not touch `scratch`, which may hold them.
  AmaxParts known_amax = {};
};

/// launch_<op>, each in the file of its family: embedding.cu, norm/*.cu, rope.cu, attention/attention.cu, activation.cu, cross_entropy.cu,
/// gemm/gemm.cpp, quantize/*.cu, optimizer.cu, elementwise.cu. Each chooses one instance of a kernel and launches it.
#define MBT_DECLARE_LAUNCH(op, Args) void launch_##op(const Args& args, const LaunchContext& context);
MBT_FOR_EACH_OP(MBT_DECLARE_LAUNCH)
#undef MBT_DECLARE_LAUNCH

}  // namespace mbt::cuda

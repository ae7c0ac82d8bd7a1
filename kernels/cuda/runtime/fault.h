// Errors in kernels, which cannot throw: a kernel records a fault, and the backend throws it the next time the host waits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace mbt::cuda {

/// The first fault of the kernels since the host last looked. Lies in memory that host and device both reach.
struct Fault {
  enum Kind : int32_t { none = 0, token, target, position, document };
  int32_t kind;
  int32_t value;  ///< the index that is out of range
  int64_t index;  ///< where it stood
  int64_t limit;  ///< it had to be in [0, limit); of a document: the place in its sequence
};

#if defined(__CUDACC__) || defined(MBT_EMULATED_DEVICE)
/// Keeps the first of the faults that threads report at the same time. The caller goes on without using the index.
__device__ inline void report(Fault* fault, Fault::Kind kind, int64_t index, int32_t value, int64_t limit) {
  if (atomicCAS(&fault->kind, static_cast<int32_t>(Fault::none), static_cast<int32_t>(kind)) != Fault::none) return;
  fault->value = value;
  fault->index = index;
  fault->limit = limit;
}
#endif

}  // namespace mbt::cuda

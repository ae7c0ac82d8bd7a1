// Stands in for NVIDIA's header of this name when kernels are compiled for the emulated device: it comes first on the include path there.
//
// What is missing is missing on purpose or has not been needed: __shared__ (kernels call shared_memory<T>()), __constant__, <<<>>> (kernels
// are launched with launch()), __noinline__ (as a macro it would break the standard library).
#pragma once

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

#include "tests/emulation/device/atomics.h"
#include "tests/emulation/device/intrinsics.h"
#include "tests/emulation/device/runtime_api.h"
#include "tests/emulation/device/synchronization.h"
#include "tests/emulation/device/vector_types.h"

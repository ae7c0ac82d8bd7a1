// Marks functions that kernels call too. Constexpr functions need no mark: nvcc's --expt-relaxed-constexpr lets device code call them.
#pragma once

#if defined(__CUDACC__)
#define MBT_HOST_DEVICE __host__ __device__
#else
#define MBT_HOST_DEVICE
#endif

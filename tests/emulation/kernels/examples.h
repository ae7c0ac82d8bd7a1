// Small kernels, one a feature of the emulated device. They compile with nvcc as well.
#pragma once

#include <cstdint>

#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

void launch_scale(float* y, const float* x, float factor, int n, cudaStream_t stream);
void launch_coordinates(uint32_t* codes, dim3 grid, dim3 block);  ///< codes[i]: thread and block coordinates of the i-th thread of the grid
void launch_reverse(int* y, const int* x, int n);                 ///< each block of 256 reversed, through shared memory
void launch_block_sum(float* sums, const float* x, int n, int threads);  ///< one sum a block: shuffles, shared memory, two barriers
void launch_prefix_sum(int* y, const int* x);                            ///< of one warp
void launch_votes(uint32_t* out, const int* x);                          ///< of one warp; 8 words a lane
void launch_half_warps(int* out, const int* x);                          ///< two masks, two loops of different length
void launch_histogram(unsigned* bins, const uint8_t* x, int n);
void launch_atomics(unsigned* out, unsigned long long* wide, float* sum, int n);
void launch_vector_copy(float* y, const float* x, int n);  ///< n: multiple of 4
void launch_barrier_votes(int* out, const int* x, int threads);
void launch_many_barriers(float* out, int rounds, int blocks, int threads);
void launch_empty_threads(float* out, int blocks, int threads);
void launch_large_shared(float* out, size_t shared_bytes);
void allow_large_shared(size_t bytes);

}  // namespace mbt::cuda

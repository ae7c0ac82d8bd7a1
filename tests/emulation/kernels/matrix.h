// Kernels on the matrix units and with asynchronous copies, through kernels/cuda/device/ptx.h. They compile with nvcc as well.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/ptx.h"

namespace mbt::cuda {

/// d [16,8] += a [16,16] * b [16,8], fragments loaded element by element, as ptx.h lays them out.
void launch_mma_by_hand(MmaInput input, float* d, const uint16_t* a, const uint16_t* b);
/// The same through shared memory: cp.async, ldmatrix for a, ldmatrix with .trans for b.
void launch_mma_by_ldmatrix(MmaInput input, float* d, const uint16_t* a, const uint16_t* b);
/// r [32,4]: ldmatrix.x4, x4.trans, x2, x2.trans (`form` 0..3) of the four 8x8 matrices m [4,8,8]; x2 leaves r[.][2..3] 0.
void launch_ldmatrix(int form, uint32_t* r, const uint16_t* m);
/// Copies n floats (a multiple of 128) in tiles of 128, two tiles ahead; whole tiles beyond `valid` are 0.
void launch_pipelined_copy(float* y, const float* x, int n, int valid);
/// out[i]: the codes of (x[2i], x[2i+1]): E4M3 | E5M2 << 16, bf16x2, fp16x2, and E4M3's codes as fp16x2.
void launch_conversions(uint32_t* out, const float* x, int pairs);

}  // namespace mbt::cuda

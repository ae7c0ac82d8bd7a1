// Warp-wide matrix instructions.
#pragma once

#include "tests/emulation/engine/device.h"

namespace mbt::emulation {

/// d[4] += a[4] * b[2], fragments of mma.m16n8k16 of bf16 or fp16 values. Each element of d is the double sum of its products and of what
/// it was, rounded once to fp32: nearer to the exact value than the hardware, which rounds on the way.
void mma_m16n8k16(bool bf16, float* d, const uint32_t* a, const uint32_t* b, Site site);

/// `matrices` (2 or 4) 8x8 matrices from shared memory. Throws Error when a row is not in shared memory or not aligned to 16 bytes.
void ldmatrix(uint32_t* r, int matrices, const void* row, bool transposed, Site site);

}  // namespace mbt::emulation

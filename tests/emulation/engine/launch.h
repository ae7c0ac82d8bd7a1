// Launches on the emulated device.
#pragma once

#include "tests/emulation/engine/block_runner.h"

namespace mbt::emulation {

inline constexpr size_t kSharedBytesByDefault = 48 << 10;  // per block; more must be granted with cudaFuncSetAttribute
inline constexpr size_t kSharedBytesAtMost = 227 << 10;

/// Runs all blocks, twice unless settings() say once. Throws Error (device.h, and: memory written outside of allocations, results that
/// differ between the runs); memory then holds what the failed run left.
void run(const Launch& launch);

}  // namespace mbt::emulation

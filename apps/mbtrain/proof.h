// The device, driver and program that results of the self-test belong to, and what is known about it.
#pragma once

#include "core/backend/backend.h"
#include "core/comm/world.h"
#include "core/config/run_config.h"
#include "core/selftest/proofs.h"

namespace mbt {

/// Results for this backend, in the file that is kept beside the GEMM algorithms.
selftest::Proofs open_proofs(const Backend& backend);

/// A run on a GPU proves what it needs at its first start on this device; the CPU's loops are proven when the program is built. Throws
/// InputError where a check fails, and AgreedError on all ranks.
void prove_before_run(World& world, const RunConfig& config, Backend& backend);

}  // namespace mbt

// Whether a run fits into the memory of its device, asked before anything is allocated; and who needs how much when it does not.
#pragma once

#include <string>

#include "core/backend/backend.h"
#include "core/config/run_config.h"
#include "core/recipe/policy.h"

namespace mbt {

struct MemoryCheck {
  std::string owners;           ///< a table: bytes, category, what
  std::string warning;          ///< not empty: more than the system can probably give
  int64_t scratch_bytes = 0;    ///< for Backend::reserve_scratch
};

/// Throws InputError when the run cannot fit into what the backend has left and that is a limit: the table, what is free, and the largest
/// train.micro_batch_size that fits, or which other settings would. Where memory is no such limit (the CPU's pages come when they are
/// touched) that text is the warning.
MemoryCheck check_memory(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend);

/// MemoryCheck::owners alone.
std::string memory_owners(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend);

}  // namespace mbt

// Whether a run fits into the memory of its device, asked before anything is allocated; and who needs how much when it does not.
#pragma once

#include <optional>
#include <string>

#include "core/backend/backend.h"
#include "core/config/run_config.h"
#include "core/recipe/policy.h"
#include "core/train/plan/plan_precision.h"

namespace mbt {

/// What a run needs against what its device has free.
struct MemoryFit {
  int64_t needed = 0;                        ///< bytes
  std::optional<AvailableMemory> available;  ///< nothing: unknown
  std::string advice;                        ///< when it does not fit: the settings under which it would

  bool fits() const { return !available || static_cast<size_t>(needed) <= available->bytes; }
};

/// Arithmetic alone: allocates nothing.
MemoryFit fit_memory(const RunConfig& config, const PrecisionPolicy& policy, const DeviceQueries& device, int ranks);

struct MemoryCheck {
  std::string owners;         ///< a table: bytes, category, what
  std::string warning;        ///< not empty: more than the system can probably give
  int64_t scratch_bytes = 0;  ///< for Backend::reserve_scratch
};

/// Throws InputError when the run cannot fit into what the backend has left and that is a limit: the table, what is free, and the largest
/// train.micro_batch_size that fits, or which other settings would. Where memory is no such limit (the CPU's pages come when they are
/// touched) that text is the warning.
MemoryCheck check_memory(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend, int ranks);

/// MemoryCheck::owners alone.
std::string memory_owners(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend, int ranks);

}  // namespace mbt

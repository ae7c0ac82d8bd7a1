// Checks, before anything is allocated, whether a run fits into its device's memory; lists what needs how much when it does not.
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

/// Throws InputError when the run does not fit into the backend's free memory and that memory is a hard limit. The message has the table,
/// the free memory, and the largest train.micro_batch_size that fits or other settings that would fit. When it is no hard limit (the CPU
/// commits memory lazily), the text is returned as the warning.
MemoryCheck check_memory(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend, int ranks);

/// MemoryCheck::owners alone.
std::string memory_owners(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend, int ranks);

}  // namespace mbt

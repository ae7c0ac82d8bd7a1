// Timing of collectives, for `mbtrain bench comm` and `bench scaling`.
#pragma once

#include <string>

#include "core/backend/backend.h"
#include "core/comm/world.h"

namespace mbt {

enum class Collective : uint8_t { reduce_scatter, all_gather, all_reduce };

/// Returns the seconds that one call takes on the slowest rank, for an fp32 tensor of `bytes` over all ranks. Every rank must call it.
double seconds_of(Backend& backend, World& world, Collectives& collectives, Collective what, int64_t bytes);

}  // namespace mbt

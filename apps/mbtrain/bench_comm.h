// Timing of collectives, for `mbtrain bench comm` and `bench scaling`.
#pragma once

#include <string>

#include "core/backend/backend.h"
#include "core/comm/world.h"

namespace mbt {

enum class Collective : uint8_t { reduce_scatter, all_gather, all_reduce };

/// Seconds of one call on a tensor of `bytes` (all ranks' pieces together), fp32, on the slowest rank. Every rank calls it.
double seconds_of(Backend& backend, World& world, Collectives& collectives, Collective what, int64_t bytes);

}  // namespace mbt

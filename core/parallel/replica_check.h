// Whether all ranks hold the same weights (train.check_weight_hash_across_dp_replicas_interval).
#pragma once

#include "core/backend/backend.h"
#include "core/comm/world.h"
#include "core/model/weights.h"

namespace mbt {

/// Compares hashes of what forward reads of every parameter: the working weight, or its codes and scales. All of them must have arrived
/// (DataParallel::finish_publishing). AgreedError names the first parameter that differs and the ranks that differ from the first.
void check_replicas(Backend& backend, World& world, const Weights& weights);

}  // namespace mbt

// What a training run says before its first step: first what its owner wants to know, then the details, last what may have to be changed.
#pragma once

#include "core/backend/backend.h"
#include "core/comm/world.h"
#include "core/data/dataset.h"
#include "core/recipe/resolve.h"
#include "core/train/trainer.h"

namespace mbt {

/// On the first rank.
void log_start(const ResolvedRun& run, const Backend& backend, World& world, const Dataset& dataset, const Trainer& trainer);

}  // namespace mbt

// Rotary position embedding; contract in core/ops/attention.h.
#pragma once

#include "core/ops/attention.h"
#include "kernels/cpu/level.h"

MBT_LEVELS(void rope(const RopeArgs& args);)

// Softmax cross-entropy; contract in core/ops/cross_entropy.h.
#pragma once

#include "core/ops/cross_entropy.h"
#include "kernels/cpu/level.h"

MBT_LEVELS(void cross_entropy(const CrossEntropyArgs& args);)

// Activations of the MLP; contracts in core/ops/activation.h.
#pragma once

#include "core/ops/activation.h"
#include "kernels/cpu/level.h"

MBT_LEVELS(void activation_fwd(const ActivationFwdArgs& args); void activation_bwd(const ActivationBwdArgs& args);)

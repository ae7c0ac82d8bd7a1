// Checks of what surrounds ops: memory, copies between host and device, recorded sequences.
#pragma once

#include "core/selftest/check.h"

namespace mbt::selftest {

Checks machinery_checks();
Checks replay_checks(DType act);

}  // namespace mbt::selftest

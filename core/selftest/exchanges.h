// Checks of collectives between the ranks of a run: every call in every dtype, against sums computed on this rank alone.
#pragma once

#include "core/comm/collectives.h"
#include "core/selftest/check.h"

namespace mbt::selftest {

/// Every rank makes and runs all of them in this order. `collectives` must outlive the checks.
Checks exchange_checks(Collectives& collectives);

}  // namespace mbt::selftest

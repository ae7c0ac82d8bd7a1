// Comparison by the table of tolerances (core/reference).
#pragma once

#include "core/reference/compare.h"

namespace mbt::test {
using namespace mbt::ref;
}

// The table of tolerances (core/reference).
#pragma once

#include "core/reference/tolerance.h"

namespace mbt::test {
using namespace mbt::ref;
}

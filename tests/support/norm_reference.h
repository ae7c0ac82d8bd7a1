// Norms in double (core/reference).
#pragma once

#include "core/reference/norm.h"

namespace mbt::test {
using namespace mbt::ref;
}

// Attention in double (core/reference).
#pragma once

#include "core/reference/attention.h"

namespace mbt::test {
using namespace mbt::ref;
}

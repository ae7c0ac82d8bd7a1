// Where the tensors of op tests live (core/reference).
#pragma once

#include "core/reference/test_memory.h"

namespace mbt::test {
using namespace mbt::ref;
}

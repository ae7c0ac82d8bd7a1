// The tensors of op tests (core/reference).
#pragma once

#include "core/reference/guarded_tensor.h"

namespace mbt::test {
using namespace mbt::ref;
}

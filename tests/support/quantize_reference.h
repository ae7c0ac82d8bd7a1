// Quantization element by element (core/reference).
#pragma once

#include "core/reference/quantize.h"

namespace mbt::testing {
using namespace mbt::ref;
}

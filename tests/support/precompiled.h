// Parsed once for all tests: Catch2 and what cmake/precompiled.h has.
#pragma once

#include "cmake/precompiled.h"
#include "tests/support/catch.h"

// What the program looks for in libmbtrain_mpi.so (kernels/launch.cpp): the library is loaded only under a launcher.
#pragma once

#include "core/comm/world.h"

/// mpi::make_mpi_world(), owned by the caller. Exceptions pass through it: program and library are one build.
extern "C" mbt::World* mbt_make_mpi_world();

// What kernels/launch.cpp looks for in libmbtrain_mpi.so.
#include "kernels/mpi/mpi_world.h"

/// Exceptions pass through it: program and library are one build.
extern "C" mbt::World* mbt_make_mpi_world() { return mbt::mpi::make_mpi_world().release(); }

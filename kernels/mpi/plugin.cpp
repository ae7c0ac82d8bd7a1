#include "kernels/mpi/plugin.h"

#include "kernels/mpi/mpi_world.h"

extern "C" mbt::World* mbt_make_mpi_world() { return mbt::mpi::make_mpi_world().release(); }

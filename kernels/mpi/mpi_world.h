// A World over MPI.
#pragma once

#include <memory>

#include "core/comm/world.h"

namespace mbt::mpi {

/// Starts MPI; once a process. Ends with MPI_Finalize, which waits for all ranks. Throws InputError when MPI does not start.
std::unique_ptr<World> make_mpi_world();

}  // namespace mbt::mpi

// How the program was started: alone, or as one of several ranks by mpirun or srun.
#pragma once

#include <memory>
#include <string>

#include "core/comm/world.h"

namespace mbt {

/// The launcher's environment variables.
struct LaunchedAs {
  std::string launcher;  ///< "mpirun", "srun"; empty: by hand, or as the only process
  int processes = 1;     ///< of the run
  int rank = 0;          ///< as the launcher counts; known before MPI is
  bool has_mpi = false;  ///< the launcher offers what MPI needs to find the others
};
LaunchedAs launched_as();

/// One rank, or MPI's when a launcher started several. The MPI part is a library beside the program. Throws InputError when it is missing,
/// or when MPI does not see the processes that the launcher started, with what to do.
std::unique_ptr<World> make_world();

}  // namespace mbt

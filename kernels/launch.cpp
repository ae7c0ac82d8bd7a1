#include "kernels/launch.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "core/base/error.h"
#include "kernels/mpi/plugin.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

int number_in(const char* variable, int otherwise) {
  const char* value = std::getenv(variable);
  return value == nullptr || *value == '\0' ? otherwise : std::atoi(value);
}
bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

/// Beside the program as it is built, or where it is installed.
std::vector<fs::path> places_of_library() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  return {folder / "libmbtrain_mpi.so", folder / "../lib/mbtrain/libmbtrain_mpi.so"};
}

World* make_mpi_world() {
  std::string tried;
  for (const fs::path& path : places_of_library()) {
    std::error_code error;
    if (!fs::exists(path, error)) {
      tried += "\n  " + path.lexically_normal().string() + ": there is no such file";
      continue;
    }
    // Global: MPI's own plug-ins look for its symbols there.
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    void* const symbol = library == nullptr ? nullptr : dlsym(library, "mbt_make_mpi_world");
    if (symbol != nullptr) return reinterpret_cast<decltype(&mbt_make_mpi_world)>(symbol)();
    tried += fmt::format("\n  {}: {}", path.lexically_normal().string(), dlerror());
  }
  throw InputError(
      fmt::format("cannot load the MPI part of mbtrain:{}\nBuild with MPI (-DMBT_MPI=ON; scripts/setup.sh installs Open "
                  "MPI), or load the MPI that this was built with",
                  tried));
}

}  // namespace

LaunchedAs launched_as() {
  LaunchedAs l;
  if (is_set("OMPI_COMM_WORLD_SIZE")) {
    l = {"mpirun", number_in("OMPI_COMM_WORLD_SIZE", 1), number_in("OMPI_COMM_WORLD_RANK", 0), true};
  } else if (is_set("PMI_SIZE")) {  // MPICH's mpiexec, srun --mpi=pmi2
    l = {"mpiexec", number_in("PMI_SIZE", 1), number_in("PMI_RANK", 0), true};
  } else if (is_set("SLURM_STEP_NUM_TASKS") && is_set("SLURM_PROCID") && is_set("SLURM_STEP_ID")) {
    l = {"srun", number_in("SLURM_STEP_NUM_TASKS", 1), number_in("SLURM_PROCID", 0), is_set("PMIX_RANK")};
  }
  if (l.processes <= 1) return {};
  return l;
}

std::unique_ptr<World> make_world() {
  const LaunchedAs launched = launched_as();
  if (launched.launcher.empty()) return std::make_unique<SingleWorld>();
  if (!launched.has_mpi)
    throw InputError(fmt::format(
        "{} started {} processes without telling them how to find each other; use srun --mpi=pmix (srun --mpi=list shows what there is)",
        launched.launcher, launched.processes));
  std::unique_ptr<World> world(make_mpi_world());
  if (world->ranks() != launched.processes)
    throw InputError(fmt::format("{} started {} processes, but {} sees {}: this mbtrain was built with another MPI than the launcher's",
                                 launched.launcher, launched.processes, world->name(), world->ranks()));
  return world;
}

}  // namespace mbt

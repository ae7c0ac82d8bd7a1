// What `mbtrain doctor` asks of the machine itself: free memory, and libraries that this program may or may not be built with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mbt {

struct HostMemory {
  int64_t total = 0, available = 0;  ///< bytes; a limit of the control group counts
};
/// Returns nullopt when the system does not report it.
std::optional<HostMemory> host_memory();

/// A shared library, looked for by its name as the dynamic linker would.
struct MachineLibrary {
  std::string what;     ///< "NCCL"
  std::string file;     ///< "libnccl.so.2": the one that was found, or the first that was looked for
  std::string version;  ///< "2.27.7"; empty: not found, or it does not say
  std::string problem;  ///< why it cannot be loaded or used; empty: it can
};
/// cuBLASLt, NCCL and MPI.
std::vector<MachineLibrary> machine_libraries();

}  // namespace mbt

#include "apps/mbtrain/machine.h"

#include <dlfcn.h>

#include <fstream>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "kernels/gpus.h"

namespace mbt {
namespace {

/// The number after `key` in a file of "key: 123 kB" lines.
std::optional<int64_t> kib_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  int64_t number = 0;
  while (file >> word)
    if (word == key && file >> number) return number * 1024;
  return std::nullopt;
}

std::optional<int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;  // "max": no limit
}

template <class Function>
Function* function(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

// Versions: nothing where the library has not the function that tells, so that it cannot be what it is called; empty where that fails.

std::optional<std::string> cublaslt_version(void* library) {
  const auto ask = function<size_t()>(library, "cublasLtGetVersion");
  if (ask == nullptr) return std::nullopt;
  const size_t v = ask();
  return fmt::format("{}.{}.{}", v / 10000, v % 10000 / 100, v % 100);
}

std::optional<std::string> nccl_version(void* library) {
  const auto ask = function<int(int*)>(library, "ncclGetVersion");
  int v = 0;
  if (ask == nullptr) return std::nullopt;
  if (ask(&v) != 0) return "";
  return fmt::format("{}.{}.{}", v / 10000, v % 10000 / 100, v % 100);
}

/// "Open MPI v4.1.4, package: ..." up to its first comma or end of line. Allowed before MPI_Init.
std::optional<std::string> mpi_version(void* library) {
  constexpr size_t kMaxText = 8192;  // MPICH's MPI_MAX_LIBRARY_VERSION_STRING, the longest in use
  const auto ask = function<int(char*, int*)>(library, "MPI_Get_library_version");
  std::string said(kMaxText, '\0');
  int length = 0;
  if (ask == nullptr) return std::nullopt;
  if (ask(said.data(), &length) != 0) return "";
  return said.substr(0, std::min(said.find_first_of(",\n"), static_cast<size_t>(length)));
}

using Version = std::optional<std::string>(void* library);

MachineLibrary look_for(const std::string& what, const std::vector<std::string>& files, Version* version_of) {
  MachineLibrary found{.what = what, .file = files.front(), .version = {}, .problem = {}};
  for (const std::string& file : files) {
    std::string problem;
    void* const library = dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);  // stays: some libraries do not survive being closed
    if (library == nullptr) {
      const char* why = dlerror();
      problem = fmt::format("cannot be loaded: {}", why != nullptr ? why : file);
    } else if (const std::optional<std::string> version = version_of(library)) {
      return {.what = what, .file = file, .version = *version, .problem = {}};
    } else {
      problem = fmt::format("cannot be used: {} has no function that tells its version", file);
    }
    if (found.problem.empty()) found.problem = problem;
  }
  return found;
}

/// The one that this build asks for; without CUDA, either of those that a build may ask for.
std::vector<std::string> cublaslt_files() {
  const CudaBuild build = cuda_build();
  if (!build.is_built_in) return {"libcublasLt.so.13", "libcublasLt.so.12"};
  return {fmt::format("libcublasLt.so.{}", build.runtime / 1000)};
}

}  // namespace

std::optional<HostMemory> host_memory() {
  const std::optional<int64_t> total = kib_of("/proc/meminfo", "MemTotal:"), available = kib_of("/proc/meminfo", "MemAvailable:");
  if (!total || !available) return std::nullopt;
  HostMemory memory{.total = *total, .available = *available};
  const std::optional<int64_t> limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (limit && used && *limit < memory.total) {
    memory.total = *limit;
    memory.available = std::min(memory.available, std::max<int64_t>(*limit - *used, 0));
  }
  return memory;
}

std::vector<MachineLibrary> machine_libraries() {
  return {look_for("cuBLASLt", cublaslt_files(), cublaslt_version), look_for("NCCL", {"libnccl.so.2"}, nccl_version),
          look_for("MPI", {"libmpi.so.40", "libmpi.so.12"}, mpi_version)};  // Open MPI; MPICH and Intel MPI
}

}  // namespace mbt

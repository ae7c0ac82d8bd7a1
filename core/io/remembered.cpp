#include "core/io/remembered.h"

#include <cstdlib>
#include <filesystem>

namespace mbt {

std::string gemm_algorithms_path() {
  if (const char* file = std::getenv("MBTRAIN_GEMM_ALGORITHMS")) return std::string(file) == "off" ? "" : file;
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/mbtrain/gemm_algorithms.json";
  if (home != nullptr && home[0] == '/') return std::string(home) + "/.cache/mbtrain/gemm_algorithms.json";
  return {};
}

std::string selftest_results_path() {
  const std::string beside = gemm_algorithms_path();
  return beside.empty() ? "" : (std::filesystem::path(beside).parent_path() / "selftest.json").string();
}

}  // namespace mbt

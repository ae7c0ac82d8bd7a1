#include "kernels/cpu/processor.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string_view>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "core/base/error.h"

namespace mbt::cpu {
namespace {

constexpr int kMaxThreads = 4096;

bool has_word(std::string_view line, std::string_view word) {
  for (size_t at = line.find(word); at != line.npos; at = line.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || line[at - 1] == ' ') && (end == line.size() || line[end] == ' ')) return true;
  }
  return false;
}

/// The kernel's list knows both what the processor has and what the system lets programs use (AMX needs both).
Processor detect_processor() {
  Processor p;
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line) && !line.empty();) {  // the first processor's paragraph
    const size_t colon = line.find(':');
    const std::string value = colon == line.npos || colon + 2 > line.size() ? "" : line.substr(colon + 2);
    if (line.starts_with("model name")) p.model = value;
    if (line.starts_with("vendor_id")) p.is_intel = value == "GenuineIntel";
    if (line.starts_with("flags") || line.starts_with("Features")) {
      p.has_avx512_bf16 = has_word(value, "avx512_bf16");
      p.has_amx_bf16 = has_word(value, "amx_bf16");
      p.has_arm_bf16 = has_word(value, "bf16");
    }
  }
  if (p.model.empty()) p.model = "unknown";
  return p;
}

int available_cores() {
#ifdef _OPENMP
  return omp_get_num_procs();  // respects the affinity mask
#else
  return 1;
#endif
}

}  // namespace

const Processor& processor() {
  static const Processor detected = detect_processor();
  return detected;
}

int resolve_thread_count(int asked) {
  if (asked < 0 || asked > kMaxThreads) throw InputError(fmt::format("threads: {}, expected 0 (all cores) to {}", asked, kMaxThreads));
#ifndef _OPENMP
  return 1;  // built without OpenMP
#endif
  if (asked > 0) return asked;
  if (const char* set = std::getenv("OMP_NUM_THREADS")) {
    const std::string_view value = set;  // "4", or a list "4,2": the first is the outer level
    int count = 0;
    std::from_chars(value.data(), value.data() + value.size(), count);
    if (count > 0 && count <= kMaxThreads) return count;
  }
  return available_cores();
}

void use_threads([[maybe_unused]] int count) {
#ifdef _OPENMP
  omp_set_num_threads(count);
#endif
}

}  // namespace mbt::cpu

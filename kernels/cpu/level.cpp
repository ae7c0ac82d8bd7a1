#include "kernels/cpu/level.h"

#include <cstdlib>
#include <string_view>

namespace mbt::cpu {
namespace {

Level detect_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  const Level best = has_v4 ? Level::v4 : has_v3 ? Level::v3 : Level::v2;
  const char* forced = std::getenv("MBT_CPU_LEVEL");
  const std::string_view want = forced ? forced : "";
  if (want == "v2") return Level::v2;
  if (want == "v3" && best == Level::v4) return Level::v3;
  return best;
#else
  return Level::generic;
#endif
}

}  // namespace

Level level() {
  static const Level chosen = detect_level();
  return chosen;
}

const char* name_of(Level level) {
  switch (level) {
    case Level::generic: return "generic";
    case Level::v2: return "x86-64-v2";
    case Level::v3: return "x86-64-v3";
    case Level::v4: return "x86-64-v4";
  }
  return "?";
}

}  // namespace mbt::cpu

// What the machine is, for people: asked of the system at run time, never assumed.
#pragma once

#include <string>

namespace mbt::cpu {

struct Processor {
  std::string model;  ///< "AMD EPYC 9R14", or "unknown"
  bool has_avx512_bf16 = false;
  bool has_amx_bf16 = false;
  bool has_arm_bf16 = false;
  bool is_intel = false;
};

const Processor& processor();

/// Threads for ops: `asked` when positive, else OMP_NUM_THREADS, else the cores given to this process. Throws InputError for a negative
/// or absurd number.
int resolve_thread_count(int asked);

/// Parallel loops of the calling thread run on `count` threads from now on.
void use_threads(int count);

}  // namespace mbt::cpu

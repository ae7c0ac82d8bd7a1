// The environment variables that count, for `mbtrain help` and the man page.
#pragma once

namespace mbt {

struct EnvironmentVariable {
  const char* name;  ///< with a word for its value
  const char* doc;
};

inline constexpr EnvironmentVariable kEnvironment[] = {
    {"MBTRAIN_RECIPES=FILE:FILE", "More recipes, as --recipes"},
    {"MBTRAIN_GEMM_ALGORITHMS=FILE",
     "File with the fastest GEMM algorithms of a GPU; off: none are remembered; unset: mbtrain/gemm_algorithms.json in $XDG_CACHE_HOME "
     "or ~/.cache"},
    {"OMP_NUM_THREADS=N", "CPU threads where train.num_threads is 0"},
    {"GOMP_SPINCOUNT, OMP_WAIT_POLICY", "How CPU threads wait; unset: GOMP_SPINCOUNT=1000, so that two programs share a machine"},
    {"MBT_CPU_LEVEL=v2|v3", "CPU loops of an older x86-64 level, for tests"},
    {"CUDA_VISIBLE_DEVICES=N,...", "The GPUs to use: the first one, or under a launcher one per local rank"},
    {"LD_LIBRARY_PATH=FOLDER", "Where to find cuBLASLt, if not on the system's search path"},
    {"COLUMNS=N", "Columns to print help in; unset: those of the terminal; at most 100"},
};

inline constexpr const char* kExitCodes = "0 done, 1 the run failed, 2 bad usage or bad input";

}  // namespace mbt

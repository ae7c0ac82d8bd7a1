// Where the program keeps what it has found out about a machine, so that the next run need not: cuBLASLt's algorithms, the self-test's
// results.
#pragma once

#include <string>

namespace mbt {

/// MBTRAIN_GEMM_ALGORITHMS names the file of algorithms ("off": nothing is remembered); else gemm_algorithms.json in
/// $XDG_CACHE_HOME/mbtrain or, without that variable, in ~/.cache/mbtrain. Empty: none.
std::string gemm_algorithms_path();
/// selftest.json in the folder of that file; empty: none.
std::string selftest_results_path();

}  // namespace mbt

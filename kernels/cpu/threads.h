// The threads of the CPU backend: OpenMP where the build has it, else one.
#pragma once

#include <cstdint>
#include <exception>

#include "kernels/cpu/processor.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace mbt::cpu {

inline int max_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

/// Calls task(thread, i) for every i in [0, count), thread < max_threads(). Whatever a task starts (oneDNN's primitives, nested loops)
/// runs on the task's own thread. The first exception of a task is thrown again here.
template <class Task>
void parallel_tasks(int64_t count, Task&& task) {
  std::exception_ptr failure;
#ifdef _OPENMP
#pragma omp parallel
  {
    const int thread = omp_get_thread_num();
    use_threads(1);  // for this thread, until the end of the region
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < count; ++i) {
      try {
        task(thread, i);
      } catch (...) {
#pragma omp critical(mbt_parallel_tasks)
        if (!failure) failure = std::current_exception();
      }
    }
  }
#else
  for (int64_t i = 0; i < count; ++i) task(0, i);
#endif
  if (failure) std::rethrow_exception(failure);
}

}  // namespace mbt::cpu

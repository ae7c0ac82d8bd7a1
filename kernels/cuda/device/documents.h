// Documents within a sequence (core/ops/attention.h) for attention's kernels. `start` is one sequence's part of document_start, null where
// the sequence is one document. Whatever it holds, keys stay within the sequence and every query sees itself: forward reports what is no
// document, and the run ends with that.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/runtime/fault.h"

namespace mbt::cuda {

/// The first key that the query at `place` sees.
__device__ __forceinline__ int first_key_of(const int32_t* start, int place) {
  return start == nullptr ? 0 : max(0, min(start[place], place));
}

/// One past the last query that sees `key`: the first whose document begins behind it, or `length`.
__device__ __forceinline__ int end_of_queries(const int32_t* start, int length, int key) {
  int low = key + 1, high = start == nullptr ? low : length;  // what is before `low` sees the key; what is at `high` or behind it does not
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (start[middle] <= key) low = middle + 1;
    else high = middle;
  }
  return start == nullptr ? length : low;
}

/// Whether `start` says at `place` what the contract allows beside what it says before it.
__device__ __forceinline__ bool is_document(const int32_t* start, int place) {
  return start[place] == place || (place > 0 && start[place] == start[place - 1]);
}

/// Reports an invalid value. A wrong value makes the next one look wrong too, and threads run in no order, so that next one is not
/// reported. `before`: tokens before the sequence.
__device__ __forceinline__ void report_no_document(const int32_t* start, int place, int64_t before, Fault* fault) {
  if (!is_document(start, place) && (place == 0 || is_document(start, place - 1)))
    report(fault, Fault::document, before + place, start[place], place);
}

}  // namespace mbt::cuda

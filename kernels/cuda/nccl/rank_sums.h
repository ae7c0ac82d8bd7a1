// The sums of collectives that are ours: in the order of ranks, whatever a library does.
#pragma once

#include "core/comm/collectives.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

/// What each rank has of the same elements.
struct RankParts {
  const void* own;       ///< [n]; this rank's
  const void* received;  ///< [ranks][stride], of which rank's own row is not looked at
  int64_t stride;        ///< elements
  int rank, ranks;
};

/// out[i] = factor * (sum of all parts' [i], added in f32 in the order of ranks), rounded once to nearest even. out [n] f32, bf16 or f16,
/// as the parts; may be parts.own.
void launch_sum_ranks(const RankParts& parts, float factor, TensorView out, cudaStream_t stream);

/// out[i] = the sum or maximum of all parts' [i], in the order of ranks; a maximum passes over NaN. out [n] f32, f64 or i32; may be
/// parts.own.
void launch_combine_ranks(const RankParts& parts, ReduceOp op, TensorView out, cudaStream_t stream);

}  // namespace mbt::cuda

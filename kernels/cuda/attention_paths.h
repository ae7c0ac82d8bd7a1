// The two ways to compute attention on the device; attention.cu chooses.
#pragma once

#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// Any head width and activation dtype (attention_general.cu).
void launch_attention_general_fwd(const AttentionFwdArgs& args, const LaunchContext& context);
void launch_attention_general_bwd(const AttentionBwdArgs& args, const LaunchContext& context);

/// One head of one sequence's rows: element `row * stride + d` of a pointer that stands on its first row and column.
template <class T>
struct HeadRows {
  T* data;
  int64_t stride;
  __device__ T* row(int64_t r) const { return data + r * stride; }
};

/// Where the heads of a fused QKV tensor stand.
struct HeadLayout {
  int64_t heads, kv_heads, width;
  __host__ __device__ int64_t group() const { return heads / kv_heads; }
  __host__ __device__ int64_t q(int64_t head) const { return head * width; }
  __host__ __device__ int64_t k(int64_t kv_head) const { return (heads + kv_head) * width; }
  __host__ __device__ int64_t v(int64_t kv_head) const { return (heads + kv_heads + kv_head) * width; }
  __host__ __device__ int64_t cols() const { return (heads + 2 * kv_heads) * width; }
};

inline bool is_aligned_16(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

}  // namespace mbt::cuda

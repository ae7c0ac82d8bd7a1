// Causal attention (contract: core/ops/attention.h): which of its kernels runs. On the tensor cores where they serve the shape, else a warp
// per row. The cached form always takes the latter (attention_general.cu).
#include <limits>

#include "kernels/cuda/attention_paths.h"

namespace mbt::cuda {
namespace {

/// A scale of 0 or below would make the largest score another than the one whose exponential is largest.
bool serves_flash(DType dtype, int64_t width, int64_t length, float scale) {
  constexpr int64_t kLongest = std::numeric_limits<int>::max() / 2;  // positions are ints there
  return (dtype == DType::bf16 || dtype == DType::f16) && (width == 64 || width == 128) && length < kLongest && scale > 0.0F;
}

size_t shared_bytes_at_most() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "attention: asking for the device");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "attention: asking for its shared memory");
  return static_cast<size_t>(bytes);
}

}  // namespace

void launch_attention_fwd(const AttentionFwdArgs& args, const LaunchContext& context) {
  const bool flash = serves_flash(args.qkv.dtype, args.head_dim(), args.sequence_length, args.scale) && is_aligned_16(args.qkv.data) &&
                     is_aligned_16(args.out.data);
  flash ? launch_attention_flash_fwd(args, context) : launch_attention_general_fwd(args, context);
}

void launch_attention_bwd(const AttentionBwdArgs& args, const LaunchContext& context) {
  const bool flash = serves_flash(args.qkv.dtype, args.head_dim(), args.sequence_length, args.scale) && is_aligned_16(args.qkv.data) &&
                     is_aligned_16(args.out.data) && is_aligned_16(args.d_out.data) && is_aligned_16(args.d_qkv.data) &&
                     attention_flash_bwd_shared_bytes(args.head_dim()) <= shared_bytes_at_most();
  flash ? launch_attention_flash_bwd(args, context) : launch_attention_general_bwd(args, context);
}

}  // namespace mbt::cuda

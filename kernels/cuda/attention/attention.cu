// Causal attention (contract: core/ops/attention.h): which of its kernels runs. On the tensor cores where they serve the shape, else a warp
// per row. The cached form always takes the latter (attention_general.cu).
#include "kernels/cuda/attention/attention.h"

#include "kernels/cuda/attention/attention_paths.h"

namespace mbt::cuda {
namespace {

/// Why flash cannot serve such a call; empty: it can. A scale of 0 or below would make the largest score another than the one whose
/// exponential is largest.
std::string obstacle_to_flash(const AttentionShape& s) {
  constexpr int64_t kLongest = 65535 * 128;  // a grid's third extent counts tiles of 128 queries; positions are ints
  if ((s.act != DType::bf16 && s.act != DType::f16) || (s.head_dim != 64 && s.head_dim != 128))
    return fmt::format("flash serves head widths 64 and 128 in bf16 and f16, not {} in {}", s.head_dim, name_of(s.act));
  if (s.sequence_length >= kLongest) return fmt::format("flash serves sequences below {} tokens, not {}", kLongest, s.sequence_length);
  if (!(s.scale > 0.0F)) return fmt::format("flash serves softmax scales above 0, not {}", s.scale);
  return {};
}

/// Whether a call takes flash. `is_aligned`: all its 16-bit tensors begin at a multiple of 16 bytes, as backends allocate them.
template <class Args>
bool takes_flash(const Args& args, bool is_aligned) {
  if (args.backend == AttentionBackend::math) return false;
  std::string obstacle = obstacle_to_flash({args.qkv.dtype, args.head_dim(), args.sequence_length, args.scale});
  if (obstacle.empty() && !is_aligned) obstacle = "flash serves tensors that begin at a multiple of 16 bytes, and one does not";
  if (!obstacle.empty() && args.backend == AttentionBackend::flash) throw Error(fmt::format("{}: {}", op_name(args), obstacle));
  return obstacle.empty();
}

size_t shared_bytes_at_most() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "attention: asking for the device");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "attention: asking for its shared memory");
  return static_cast<size_t>(bytes);
}

}  // namespace

AttentionSupport attention_path(AttentionBackend wanted, const AttentionShape& shape) {
  if (wanted == AttentionBackend::math) return {true, "math", "a warp a row, as asked for"};
  const std::string obstacle = obstacle_to_flash(shape);
  if (obstacle.empty()) return {true, "flash", fmt::format("tensor cores, head width {} in {}", shape.head_dim, name_of(shape.act))};
  if (wanted == AttentionBackend::flash) return {false, "flash", obstacle};
  return {true, "math", fmt::format("a warp a row: {}", obstacle)};
}

void launch_attention_fwd(const AttentionFwdArgs& args, const LaunchContext& context) {
  const bool is_aligned = is_aligned_16(args.qkv.data) && is_aligned_16(args.out.data);
  if (takes_flash(args, is_aligned)) return launch_attention_flash_fwd(args, context);
  launch_attention_general_fwd(args, context);
  launch_quantize_output(args.out, args.quantized, context);  // a pass more does not show beside that path
}

void launch_attention_bwd(const AttentionBwdArgs& args, const LaunchContext& context) {
  const bool is_aligned =
      is_aligned_16(args.qkv.data) && is_aligned_16(args.out.data) && is_aligned_16(args.d_out.data) && is_aligned_16(args.d_qkv.data);
  if (takes_flash(args, is_aligned)) return launch_attention_flash_bwd(args, context, shared_bytes_at_most());
  launch_attention_general_bwd(args, context);
  launch_quantize_output(args.d_qkv, args.quantized, context);
}

}  // namespace mbt::cuda

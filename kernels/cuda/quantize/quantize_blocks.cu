// Quantization with power-of-two scales, one a block: blockwise (128 elements, f32 scales) and mxfp8 (32 elements, E8M0). One kernel: a
// tile a block, both copies and the amax in one pass over x.
#include "kernels/cuda/quantize/quantize_blocks.h"

namespace mbt::cuda {
namespace {

template <class Rule, Blocks kBlocks, class H>
__global__ void __launch_bounds__(kTileThreads) quantize_blocks_kernel(BlockArgs a) {
  auto& shared = shared_memory<TileShared>();
  const Place p = place_of(a, blockIdx.x);
  Four<H> x[kThreadRows];
  load_part(a, p, x);
  if (a.amax != nullptr) {
    float m = 0;
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) m = fmaxf(m, amax_of(x[r]));
    m = block_max(m, shared.parts);
    if (threadIdx.x == 0) raise_amax(a.amax, m);
  }
  if constexpr (kBlocks == Blocks::squares) {
    quantize_squares<Rule>(a, p, x, 1.0F, shared);
  } else {
    if (a.row.codes != nullptr) quantize_rows<Rule>(a, p, x, 1.0F);
    if (a.column.codes != nullptr) quantize_columns<Rule>(a, p, x, 1.0F, shared);
  }
}

using Kernel = void (*)(BlockArgs);

/// The instance for FP8 codes of format F; elements count as H.
template <QuantFormat F, class H>
Kernel kernel_of(QuantScaling scaling, bool is_2d) {
  if (scaling == QuantScaling::mxfp8) {
    return is_2d ? quantize_blocks_kernel<Mxfp8Rule<F>, Blocks::squares, H> : quantize_blocks_kernel<Mxfp8Rule<F>, Blocks::lines, H>;
  }
  return is_2d ? quantize_blocks_kernel<BlockwiseRule<F>, Blocks::squares, H> : quantize_blocks_kernel<BlockwiseRule<F>, Blocks::lines, H>;
}

}  // namespace

void launch_quantize_blocks(const QuantizeArgs& args, const LaunchContext& context) {
  const QuantSpec& spec = args.to.q.spec;
  const BlockArgs a = block_args(args);
  Kernel kernel = nullptr;
  with_source(args, [&]<class T, class H>(T*, H*) {
    with_fp8(spec.format, [&]<QuantFormat F>() { kernel = kernel_of<F, H>(spec.scaling, spec.is_2d); });
  });
  launch(spec.is_2d ? "quantize_squares" : "quantize_blocks", kernel, tile_shape(a.rows, a.cols, a.column.is_transposed), context.stream,
         a);
}

}  // namespace mbt::cuda

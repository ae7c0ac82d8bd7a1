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

template <class Rule>
void launch_rule(const QuantizeArgs& args, const LaunchContext& context) {
  const BlockArgs a = block_args(args);
  const LaunchShape shape = tile_shape(a.rows, a.cols, a.column.is_transposed);
  with_source(args, [&]<class T, class H>(T*, H*) {
    if (args.to.q.spec.is_2d) launch("quantize_squares", quantize_blocks_kernel<Rule, Blocks::squares, H>, shape, context.stream, a);
    else launch("quantize_blocks", quantize_blocks_kernel<Rule, Blocks::lines, H>, shape, context.stream, a);
  });
}

}  // namespace

void launch_quantize_blocks(const QuantizeArgs& args, const LaunchContext& context) {
  const bool is_e4m3 = args.to.q.spec.format == QuantFormat::e4m3;
  if (args.to.q.spec.scaling == QuantScaling::mxfp8) {
    is_e4m3 ? launch_rule<Mxfp8Rule<QuantFormat::e4m3>>(args, context) : launch_rule<Mxfp8Rule<QuantFormat::e5m2>>(args, context);
  } else {
    is_e4m3 ? launch_rule<BlockwiseRule<QuantFormat::e4m3>>(args, context) : launch_rule<BlockwiseRule<QuantFormat::e5m2>>(args, context);
  }
}

}  // namespace mbt::cuda

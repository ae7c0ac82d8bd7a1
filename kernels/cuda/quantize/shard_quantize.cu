// Quantization of a slice of a weight (core/ops/shard_quantize.h). One scale a tensor: the slice is a flat tensor of its own for the
// kernels of quantize. Square blocks: tiles of 128 x 128 over the whole weight, a tile a thread block, as quantize's; what lies outside the
// slice counts as zero and is not written. No block crosses a tile, so nothing needs zeroing or an atomic.
#include "kernels/cuda/quantize/quantize_blocks.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;

/// Elements [first, first + n) of the weight.
struct Slice {
  const float* x;
  int64_t first, n;
};

/// The four neighbors in row r of a thread's part, as elements of the slice.
struct RowOfSlice {
  int64_t start, n;  // of the first, which may lie before the slice or behind its n elements
  int cols;          // how many of the four lie in the matrix

  __device__ RowOfSlice(const BlockArgs& a, const Place& p, const Slice& s, int r)
      : start((p.row + r) * a.cols + p.col - s.first), n(s.n), cols(r < p.rows ? p.cols : 0) {}
  __device__ bool has(int k) const { return k < cols && start + k >= 0 && start + k < n; }
  __device__ bool has_all() const { return cols == 4 && start >= 0 && start + 4 <= n; }
};

/// Zeros outside the slice. a.is_vector promises that a row's four elements are aligned.
template <class H>
__device__ inline Four<H> load_row(const BlockArgs& a, const Slice& s, const RowOfSlice& row) {
  if (a.is_vector && row.has_all()) return Four<H>::at(s.x + row.start);
  Four<H> x = Four<H>::zero();
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (row.has(k)) x.set(k, s.x[row.start + k]);
  }
  return x;
}

// -- amax --------------------------------------------------------------------------------------------------------------------------------

/// Of one block.
__global__ void __launch_bounds__(kThreads) whole_amax_kernel(AmaxParts parts, float* amax) {
  const float whole = block_max(largest_part<kThreads>(parts), shared_array<float>(0, kWarp));
  if (threadIdx.x == 0) *amax = whole;
}

template <class Rule, class H>
__global__ void __launch_bounds__(kTileThreads) shard_amax_kernel(BlockArgs a, Slice s, float* __restrict__ amax) {
  auto& shared = shared_memory<TileShared>();
  const Place p = place_of(a, blockIdx.x);
  Four<H> x[kThreadRows];
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) x[r] = load_row<H>(a, s, RowOfSlice(a, p, s, r));
  const float of_block = square_amax<Rule>(p, x, shared);
  if (is_first_of_square<Rule>(p)) amax[square_index<Rule>(p, a.row.scale_cols)] = of_block;
}

// -- codes -------------------------------------------------------------------------------------------------------------------------------

/// amax: of every block; a.amax_parts, for nvfp4: the maxima of that.
template <class Rule, class H>
__global__ void __launch_bounds__(kTileThreads) quantize_shard_kernel(BlockArgs a, Slice s, const float* __restrict__ amax) {
  auto& shared = shared_memory<TileShared>();
  const Place p = place_of(a, blockIdx.x);
  float global_encode_scale = 1;
  if constexpr (Rule::kIsNvfp4) {
    const float whole = whole_amax(a.amax_parts, shared.parts);
    global_encode_scale = nvfp4_global_encode_scale(whole);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
      *a.row.global_amax = whole;
      if (a.amax != nullptr) *a.amax = fmaxf(*a.amax, whole);
    }
  }
  if (p.rows == 0 || p.cols == 0) return;
  const int64_t block = square_index<Rule>(p, a.row.scale_cols);
  float scale = 0;
  const typename Rule::Stored stored = Rule::scale(amax[block], global_encode_scale, scale);
  if (is_first_of_square<Rule>(p)) {
    static_cast<typename Rule::Stored*>(a.row.scale_inv)[block] = stored;
    if (!Rule::kIsNvfp4 && a.amax != nullptr) raise_amax(a.amax, amax[block]);
  }
  const float multiplier[4] = {scale, scale, scale, scale};
#pragma unroll 4
  for (int r = 0; r < kThreadRows; ++r) {
    const RowOfSlice row(a, p, s, r);
    const uint32_t codes = encode_scaled_four<Rule>(load_row<H>(a, s, row), multiplier, 0);
    uint8_t* const to = a.row.codes + s.first + row.start;
    if (row.has_all()) {
      store_four(to, codes, 4, a.is_vector);
      continue;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (row.has(k)) to[k] = static_cast<uint8_t>(codes >> (8 * k));
    }
  }
}

// -- launches ----------------------------------------------------------------------------------------------------------------------------

Slice slice_of(const ConstTensorView& x, int64_t first) { return {x.as<float>(), first, x.size()}; }

/// The arguments of quantize for `x` as a tensor of one row.
QuantizeArgs flat_args(const ConstTensorView& x, DType round_to, const QuantTensorView& q = {}, bool stage_amax = false) {
  const int64_t n = x.size();
  QuantizeArgs args{.x = {x.data, x.dtype, {1, n}}, .to = {.q = q, .stage_amax = stage_amax}, .round_to = round_to};
  args.to.q.rows = 1, args.to.q.cols = n;
  return args;
}

/// The whole weight without its elements, which a Slice has. Four neighbors are one access where rows, slice and codes are aligned.
BlockArgs tile_args(const QuantTensorView& q, const ConstTensorView& x, int64_t first, bool stage_amax) {
  return {.x = nullptr,
          .is_wide = true,
          .is_vector = q.cols % 4 == 0 && first % 4 == 0 && is_aligned(x.data, 16) && is_aligned(q.rowwise.codes, 4),
          .is_column_vector = false,
          .rows = q.rows,
          .cols = q.cols,
          .row = block_output(q, false),
          .column = {},
          .amax = stage_amax ? q.amax : nullptr,
          .amax_parts = {},
          .transformed_parts = {},
          .seed = 0,
          .stream = 0,
          .pass = nullptr};
}

/// f(Rule{}, H*) for square blocks; an element counts as H.
template <class F>
void with_rule(const QuantSpec& spec, DType round_to, F&& f) {
  const auto with_kind = [&]<class Rule>(Rule rule) {
    if (round_to == DType::bf16) f(rule, static_cast<Bf16*>(nullptr));
    else if (round_to == DType::f16) f(rule, static_cast<F16*>(nullptr));
    else f(rule, static_cast<float*>(nullptr));
  };
  if (spec.scaling == QuantScaling::nvfp4) return with_kind(Nvfp4Rule<false>{});
  with_fp8(spec.format, [&]<QuantFormat kFormat>() { with_kind(BlockwiseRule<kFormat>{}); });
}

/// The arguments of quantize for the slice under one scale a tensor.
QuantizeArgs flat_args(const QuantizeShardArgs& args) {
  QuantTensorView q = args.q;
  q.columnwise = {};
  q.rowwise.codes = static_cast<uint8_t*>(q.rowwise.codes) + args.first;
  return flat_args(args.x, args.round_to, q, args.stage_amax);
}

}  // namespace

void launch_shard_amax(const ShardAmaxArgs& args, const LaunchContext& context) {
  auto* amax = args.amax.as<float>();
  if (args.spec.is_per_tensor()) {
    const AmaxParts parts = launch_amax_parts(flat_args(args.x, args.round_to), context);
    launch("whole_amax", whole_amax_kernel, {dim3(1), dim3(kThreads), kWarp * sizeof(float)}, context.stream, parts, amax);
    return;
  }
  const BlockArgs a = tile_args({.spec = args.spec, .rows = args.rows, .cols = args.cols}, args.x, args.first, false);
  with_rule(args.spec, args.round_to, [&]<class Rule, class H>(Rule, H*) {
    launch("shard_amax", shard_amax_kernel<Rule, H>, tile_shape(a.rows, a.cols), context.stream, a, slice_of(args.x, args.first), amax);
  });
}

void launch_quantize_shard(const QuantizeShardArgs& args, const LaunchContext& context) {
  const QuantSpec& spec = args.q.spec;
  if (spec.is_per_tensor()) {
    LaunchContext with_amax = context;
    with_amax.known_amax = {args.amax.as<float>(), args.amax.empty() ? 0 : 1};
    return launch_quantize_tensor(flat_args(args), with_amax);
  }
  BlockArgs a = tile_args(args.q, args.x, args.first, args.stage_amax);
  if (spec.scaling == QuantScaling::nvfp4) a.amax_parts = launch_amax_parts(flat_args(args.amax, DType::f32), context);
  with_rule(spec, args.round_to, [&]<class Rule, class H>(Rule, H*) {
    launch("quantize_shard", quantize_shard_kernel<Rule, H>, tile_shape(a.rows, a.cols), context.stream, a, slice_of(args.x, args.first),
           args.amax.as<float>());
  });
}

void launch_complete_copies(const CompleteCopiesArgs& args, const LaunchContext& context) {
  const QuantTensorView& q = args.q;
  if (!q.columnwise.is_transposed || q.columnwise.empty()) return;
  launch_transposed_copy({.q = q}, context);
  const int64_t bytes = quant_copy_shape(q.spec, q.rows, q.cols, true).scale_bytes;
  check(cudaMemcpyAsync(q.columnwise.scale_inv, q.rowwise.scale_inv, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, context.stream),
        "complete_copies: the scales of the transposed copy");
}

}  // namespace mbt::cuda

// Forward attention on the tensor cores (contract: core/ops/attention.h), for head widths 64 and 128 in bf16 and fp16.
//   flash_fwd   a block per 128 queries of a head; keys and values stream by in tiles of 64, double buffered with cp.async
//
// A warp owns 32 queries: with 32 rows per fragment of keys, shared memory feeds the tensor cores at their full rate; with 16 it would not.
// Softmax is online in fp32, as powers of two with the scale folded in. Tiles above the diagonal are never loaded, and a warp skips those
// above its own rows; blocks with the most keys start first. Nor are tiles loaded that end before the document of the block's first query
// begins (device/documents.h), and a warp skips those before its own. Shared memory 96.5 KiB (width 128) or 48.5 KiB, and registers for two
// blocks a multiprocessor. Estimated, not yet measured: 350 TFLOP/s at width 128 on an H100, 55 % of what mma.sync reaches there (which is
// 65 % of wgmma's peak); at width 64 the exponentials bound it lower.
#include <algorithm>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/attention_paths.h"
#include "kernels/cuda/device/documents.h"
#include "kernels/cuda/device/mma_tile.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp, kRowTiles = 2, kWarpRows = 16 * kRowTiles;
constexpr int kQueries = kWarps * kWarpRows, kKeys = 64, kKeyTiles = kKeys / 8;
constexpr float kLog2E = 1.44269504F, kLn2 = 0.693147181F;
/// Below every score, and far enough from the least float that times a scale it stays finite: -FLT_MAX would become -Inf at a scale of
/// 0.6932 (factor 1), and a row's first correction NaN.
constexpr float kNoScore = -1e30F;

/// length is T; lse is [B,H,T]; first_sequence: of the whole call, that of this launch, which the other pointers stand on.
struct FlashFwd {
  const uint16_t* qkv;
  uint16_t* out;
  float* lse;
  const int32_t* document_start;  // [B,T] of the whole call, or null
  Fault* fault;
  HeadLayout layout;
  int length, first_sequence;
  float scale;
};

/// The queries' tile, then kStages of a tile of keys and one of values; the first key that each query sees, which registers have no room
/// for.
template <int kWidth>
struct Shared {
  static constexpr int kStages = 2, kTile = kKeys * kWidth;
  static constexpr size_t kElements = kQueries * kWidth + 2 * kStages * kTile, kElementBytes = kElements * sizeof(uint16_t);
  static constexpr size_t kBytes = kElementBytes + kQueries * sizeof(int);
};

/// What a warp's rows know of their softmax so far: the largest score, and this lane's part of the sum of exponentials.
struct Softmax {
  float max[kRowTiles][2], sum[kRowTiles][2];
};

__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

/// Hides keys beyond the query. The warp's rows begin at position `query`, the tile at `key`.
__device__ __forceinline__ void hide_later_keys(float (&scores)[kRowTiles][kKeyTiles][4], int query, int key) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (key + tile::column_of(n) + i % 2 > query + tile::row_of(m, i / 2)) scores[m][n][i] = -INFINITY;
}

/// Hides keys before the query's document. first_keys: of the warp's rows.
__device__ __forceinline__ void hide_earlier_documents(float (&scores)[kRowTiles][kKeyTiles][4], const int* first_keys, int key) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int begin = first_keys[tile::row_of(m, half)];
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          if (key + tile::column_of(n) + i < begin) scores[m][n][2 * half + i] = -INFINITY;
    }
}

/// Turns scores into exp(scale * (score - max)), factor = scale * log2(e); what was summed before shrinks with the maximum's growth. The
/// maximum begins at kNoScore, not at -Inf: a row that sees no key of a tile, since its document begins behind it, has then no -Inf - -Inf.
template <int kColumnTiles>
__device__ __forceinline__ void update(Softmax& softmax, float (&scores)[kRowTiles][kKeyTiles][4], float (&out)[kRowTiles][kColumnTiles][4],
                                       float factor) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float max = softmax.max[m][half];
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n) max = fmaxf(max, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
      max = quad_max(max);
      const float correction = ex2_approx_ftz((softmax.max[m][half] - max) * factor), shift = max * factor;
      float sum = 0.0F;
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) sum += scores[m][n][i] = ex2_approx_ftz(scores[m][n][i] * factor - shift);
      softmax.max[m][half] = max;
      softmax.sum[m][half] = softmax.sum[m][half] * correction + sum;
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) out[m][n][i] *= correction;
    }
}

/// Fills first_keys of the block's queries, in ascending order, and returns the first. The block's next barrier comes before their use.
/// Zeros without documents: to ask for those in every tile would take a register more than there is.
__device__ __forceinline__ int begin_documents(const FlashFwd& g, int sequence, int first_query, int* first_keys, bool reports) {
  static_assert(kThreads == kQueries);
  const int64_t before = (static_cast<int64_t>(g.first_sequence) + sequence) * g.length;
  const int32_t* const start = g.document_start == nullptr ? nullptr : g.document_start + before;
  const int thread = static_cast<int>(threadIdx.x), query = min(first_query + thread, g.length - 1);
  if (reports && start != nullptr) report_no_document(start, query, before, g.fault);
  first_keys[thread] = first_key_of(start, query);
  return first_key_of(start, first_query);
}

template <MmaInput kInput, int kWidth>
__global__ void __launch_bounds__(kThreads, 2) flash_fwd_kernel(FlashFwd g, FusedQuant quant) {
  using S = Shared<kWidth>;
  uint16_t* const q_tile = shared_array<uint16_t>(0, S::kElements);
  uint16_t* const stages = q_tile + kQueries * kWidth;
  int* const first_keys = shared_array<int>(S::kElementBytes, kQueries);
  const int head = static_cast<int>(blockIdx.x), sequence = static_cast<int>(blockIdx.y);
  const int first_query = static_cast<int>(gridDim.z - 1 - blockIdx.z) * kQueries;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows, warp_query = first_query + warp_row;
  const int stride = g.layout.cols(), kv_head = head / g.layout.group();
  const uint16_t* const rows = g.qkv + static_cast<int64_t>(sequence) * g.length * stride;
  const int tiles = (min(g.length, first_query + kQueries) + kKeys - 1) / kKeys;
  const int first_tile = begin_documents(g, sequence, first_query, first_keys, head == 0) / kKeys;
  const auto begin_stage = [&](int j) {
    if (j < tiles) {
      const uint16_t* const from = rows + static_cast<int64_t>(j) * kKeys * stride;
      uint16_t* const to = stages + j % S::kStages * 2 * S::kTile;
      tile::begin_load<kWidth, kKeys, kThreads>(to, from + g.layout.k(kv_head), stride, g.length - j * kKeys);
      tile::begin_load<kWidth, kKeys, kThreads>(to + S::kTile, from + g.layout.v(kv_head), stride, g.length - j * kKeys);
    }
    cp_async_commit();  // of every thread and round, with copies in it or not: waits count groups
  };
  tile::begin_load<kWidth, kQueries, kThreads>(q_tile, rows + static_cast<int64_t>(first_query) * stride + g.layout.q(head), stride,
                                               g.length - first_query);
  begin_stage(first_tile);

  float out[kRowTiles][kWidth / 8][4] = {};
  Softmax softmax;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) softmax.max[m][half] = kNoScore, softmax.sum[m][half] = 0.0F;
  const float factor = g.scale * kLog2E;
  for (int j = first_tile; j < tiles; ++j) {
    begin_stage(j + 1);
    cp_async_wait<1>();
    __syncthreads();
    const int key = j * kKeys;
    if (key < warp_query + kWarpRows && key + kKeys > first_keys[warp_row]) {
      const uint16_t* const k_tile = stages + j % S::kStages * 2 * S::kTile;
      float scores[kRowTiles][kKeyTiles][4] = {};
      tile::multiply_transposed<kInput, kWidth>(scores, q_tile + warp_row * kWidth, k_tile);
      if (key + kKeys > warp_query + 1) hide_later_keys(scores, warp_query, key);
      if (key < first_keys[warp_row + kWarpRows - 1]) hide_earlier_documents(scores, first_keys + warp_row, key);
      update(softmax, scores, out, factor);
      tile::multiply<kInput, kWidth>(out, scores, k_tile + S::kTile);
    }
    __syncthreads();  // the stage is free
  }

  float* const lse = g.lse + (static_cast<int64_t>(sequence) * g.layout.heads + head) * g.length;
  float inverse[kRowTiles][2];
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = quad_sum(softmax.sum[m][half]);
      const int query = warp_query + tile::row_of(m, half);
      inverse[m][half] = 1.0F / sum;
      if (query < g.length && tile::lane_of() % 4 == 0) lse[query] = softmax.max[m][half] * g.scale + kLn2 * log2f(sum);
    }
  const int out_stride = g.layout.heads * kWidth;
  const int64_t first = (static_cast<int64_t>(sequence) * g.length + warp_query) * out_stride + g.layout.q(head);
  OutputQuantizer<true> quantizer(quant);
  tile::store_rows<kInput, kWidth>(q_tile + warp_row * kWidth, out, inverse, g.out + first, out_stride, g.length - warp_query,
                                   QuantizeStored<kInput>{quantizer, first});
  if (quant.is_wanted()) quantizer.finish(shared_array<float>(0, 1));
}

int64_t tiles_of(int64_t length) { return (length + kQueries - 1) / kQueries; }

/// The one instance that runs, and what its blocks take of shared memory.
struct Chosen {
  void (*kernel)(FlashFwd, FusedQuant);
  size_t shared_bytes;
};
Chosen kernel_of(const AttentionFwdArgs& args) {
  return choose(
      [&]<MmaInput kInput, int kWidth>(Is<kInput>, Is<kWidth>) {
        return Chosen{flash_fwd_kernel<kInput, kWidth>, Shared<kWidth>::kBytes};
      },
      FlashInputs{flash_input(args.qkv.dtype)}, FlashWidths{static_cast<int>(args.head_dim())});
}

}  // namespace

void launch_attention_flash_fwd(const AttentionFwdArgs& args, const LaunchContext& context, int64_t most_sequences) {
  expect_flash(args);
  FlashFwd g{.qkv = args.qkv.as<uint16_t>(),
             .out = args.out.as<uint16_t>(),
             .lse = args.lse.as<float>(),
             .document_start = args.document_start.as<int32_t>(),
             .fault = context.fault,
             .layout = layout_of(args),
             .length = static_cast<int>(args.sequence_length),
             .first_sequence = 0,
             .scale = args.scale};
  QuantizedOutput out(args.out, args.quantized, context);
  const int64_t blocks_of_sequence = g.layout.heads * tiles_of(g.length);
  FusedQuant quant = out.quant(args.batch() * blocks_of_sequence);
  const auto [kernel, shared_bytes] = kernel_of(args);
  allow_shared_bytes("flash_fwd", kernel, shared_bytes);
  for (int64_t done = 0; done < args.batch(); done += most_sequences) {  // a flat grid's divisions would make registers spill
    const int64_t sequences = std::min(most_sequences, args.batch() - done);
    const dim3 grid(static_cast<unsigned>(g.layout.heads), static_cast<unsigned>(sequences), static_cast<unsigned>(tiles_of(g.length)));
    launch("flash_fwd", kernel, {grid, kThreads, shared_bytes}, context.stream, g, quant);
    if (quant.codes != nullptr) quant.codes += sequences * g.length * g.layout.heads * g.layout.width;
    if (quant.parts != nullptr) quant.parts += sequences * blocks_of_sequence;
    g.qkv += sequences * g.length * g.layout.cols();
    g.out += sequences * g.length * g.layout.heads * g.layout.width;
    g.lse += sequences * g.length * g.layout.heads;
    g.first_sequence += static_cast<int>(sequences);
  }
  out.finish();
}

}  // namespace mbt::cuda

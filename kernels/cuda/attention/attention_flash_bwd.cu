// Backward attention on the tensor cores (contract: core/ops/attention.h), for head widths 64 and 128 in bf16 and fp16.
//   flash_delta   delta = rowsum(d_out * out) and lse * log2(e) per query, padded to whole tiles; the padding gives probability 0
//   flash_dkv     a block per 128 keys of a key head: K and V stay in shared memory, Q and d_out of the queries of all heads of the group
//                 stream by, 64 at a time, and d_k, d_v grow in registers
//   flash_dq      a block per 128 queries of a head: the same with the roles exchanged, K and V streaming by
// Where sequences hold documents (device/documents.h), a block streams only what its own rows see or are seen by: flash_dkv ends with the
// last query of its last key's document, flash_dq begins with the document of its first query. Both hide the rest element by element.
//
// Scores lie with the block's own rows as rows: the transposed probabilities of flash_dkv are then in registers just as the next product
// wants its left operand, so no probability passes through shared memory. Computing scores in both kernels costs 7 products where 5 would
// do; in return there is no atomic and no fp32 scratch for d_q, and sums have a fixed order. A warp owns 16 rows at width 128, where d_k
// and d_v take half of its registers, and 32 at width 64. Shared memory 129.5 KiB (width 128) or 65.5 KiB; at width 128 devices with less
// (compute capability 8.6, 8.9, 12.0: 99 KiB) take 97 KiB, with 32 rows streaming by at a time. Estimated, not yet measured: 50 to 55 %
// of what mma.sync reaches, of the 7 products; 230 to 250 TFLOP/s on an H100 when 5 are counted.
//
// fp16 ends at 65504, which d_scores pass where d_out is near it (a high loss scale), though the gradients made of them may be far below.
// So fp16 d_scores enter their products times a power of two that brings the largest |d_out| of the call below 2; the sums, in fp32, are
// multiplied back. bf16 has fp32's range.
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/attention_paths.h"
#include "kernels/cuda/device/documents.h"
#include "kernels/cuda/device/element.h"
#include "kernels/cuda/device/four.h"
#include "kernels/cuda/device/mma_tile.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kRows = 128, kStages = 2;  // a block's own rows
constexpr float kLog2E = 1.44269504F;

/// length is T; lse2 (lse * log2(e)) and delta are [B,H,padded].
struct FlashBwd {
  const uint16_t *d_out, *qkv, *out;
  const float* lse;
  uint16_t* d_qkv;
  float *lse2, *delta;
  float* d_out_amax;              // [1], fp16 only
  const int32_t* document_start;  // [B,T] or null
  int32_t* document_end;          // [B,padded], where there is document_start: one past the last query that sees the key
  HeadLayout layout;
  int batch, length, padded;
  float scale;

  __device__ bool has_documents() const { return document_start != nullptr; }
  __device__ int64_t padded_row(int64_t sequence, int64_t head) const { return (sequence * layout.heads + head) * padded; }
};

/// Where a block works. The grid is flat, for its other extents end at 65535: heads side by side, then sequences, then tiles.
struct BlockPlace {
  int head, sequence, tile;
  __device__ __forceinline__ BlockPlace(int heads, int batch)
      : head(static_cast<int>(blockIdx.x) % heads),
        sequence(static_cast<int>(blockIdx.x) / heads % batch),
        tile(static_cast<int>(blockIdx.x) / heads / batch) {}
};

/// The blocks of such a grid.
inline unsigned flat_blocks(const char* op, int64_t heads, int64_t sequences, int64_t tiles) {
  MBT_CHECK(sequences <= INT32_MAX / heads / tiles, "{}: {} sequences of {} tiles in {} heads are more blocks than a grid holds", op,
            sequences, tiles, heads);
  return static_cast<unsigned>(heads * sequences * tiles);
}

/// 2^-e where 2^e <= amax < 2^(e+1), 1 for e < 0; at least 2^-16, where amax is infinite.
__device__ __forceinline__ float range_factor(float amax) {
  const int exponent = static_cast<int>(__float_as_uint(amax) >> 23) - 127;
  return __uint_as_float(static_cast<uint32_t>(127 - max(0, min(exponent, 16))) << 23);
}

/// The block's own tiles, one per left operand; kStages of two streamed tiles of kStreamed rows; kStages of lse2 and delta of the streamed
/// queries; where documents bound what the block's own rows see or are seen by, which registers have no room for.
template <int kHeadWidth, int kStreamedRows>
struct Shape {
  static constexpr int kWidth = kHeadWidth, kStreamed = kStreamedRows;
  static constexpr int kRowTiles = 128 / kWidth, kWarpRows = 16 * kRowTiles, kWarps = kRows / kWarpRows, kThreads = kWarps * kWarp;
  static constexpr int kKeyChunk = kWidth == 128 ? kStreamed : 32,
                       kQueryChunk = 32;  // streamed rows whose scores are in registers at a time
  static constexpr int kOwnTile = kRows * kWidth, kTile = kStreamed * kWidth;
  static constexpr size_t kElements = 2 * kOwnTile + 2 * kStages * kTile, kElementBytes = kElements * sizeof(uint16_t);
  static constexpr size_t kStatistics = 2 * kStages * kStreamed, kBoundsAt = kElementBytes + kStatistics * sizeof(float);
  static constexpr size_t kBytes = kBoundsAt + kRows * sizeof(int);
  using Sums = float[kRowTiles][kWidth / 8][4];
  using KeyScores = float[kRowTiles][kKeyChunk / 8][4];
  using QueryScores = float[kRowTiles][kQueryChunk / 8][4];
};

template <MmaInput kInput, int kWidth>
__global__ void __launch_bounds__(256) flash_delta_kernel(FlashBwd g, int64_t rows) {
  using T = std::conditional_t<kInput == MmaInput::bf16, Bf16, F16>;
  constexpr int kLanes = kWidth / 8;  // of a row, 16 bytes each
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, row = thread / kLanes;
  const int64_t head = row % g.layout.heads, t = row / g.layout.heads % g.padded, sequence = row / g.layout.heads / g.padded;
  const bool valid = row < rows && t < g.length;
  float sum = 0.0F, amax = 0.0F;
  if (valid) {
    const int64_t at = ((sequence * g.length + t) * g.layout.heads + head) * kWidth + thread % kLanes * 8;
    const auto x = Vector<T>::at(reinterpret_cast<const T*>(g.d_out), at), y = Vector<T>::at(reinterpret_cast<const T*>(g.out), at);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      sum += x.values[i] * y.values[i];
      if constexpr (kInput == MmaInput::f16) amax = fmaxf(amax, fabsf(x.values[i]));
    }
  }
  if constexpr (kInput == MmaInput::f16) {
    amax = warp_max(amax);
    if (threadIdx.x % kWarp == 0) raise_amax(g.d_out_amax, amax);
  }
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);
  if (row >= rows || thread % kLanes != 0) return;
  if (g.has_documents() && head == 0)
    g.document_end[sequence * g.padded + t] =
        valid ? end_of_queries(g.document_start + sequence * g.length, g.length, static_cast<int>(t)) : g.length;
  g.delta[g.padded_row(sequence, head) + t] = sum;
  g.lse2[g.padded_row(sequence, head) + t] = valid ? g.lse[(sequence * g.layout.heads + head) * g.length + t] * kLog2E : INFINITY;
}

/// What both kernels know of their place and their shared memory.
template <class S>
struct Block {
  uint16_t *own, *stages;  // own: this warp's rows of the first left operand; the second's lie S::kOwnTile on
  float* statistics;
  int warp_row;

  __device__ __forceinline__ Block()
      : own(shared_array<uint16_t>(0, S::kElements)),
        stages(own + 2 * S::kOwnTile),
        statistics(shared_array<float>(S::kElementBytes, S::kStatistics)),
        warp_row(static_cast<int>(threadIdx.x) / kWarp * S::kWarpRows) {}
  __device__ __forceinline__ uint16_t* warp_tile(int operand) const { return own + operand * S::kOwnTile + warp_row * S::kWidth; }
  __device__ __forceinline__ uint16_t* stage(int j) const { return stages + (j & 1) * 2 * S::kTile; }
  /// Of the warp's own rows, in ascending order.
  __device__ __forceinline__ const int* bounds() const { return shared_array<int>(S::kBoundsAt, kRows) + warp_row; }
  /// bound_of(row) for all of the block's rows. The block's next barrier comes before their use.
  template <class F>
  __device__ __forceinline__ void begin_bounds(F bound_of) const {
    int* const bounds = shared_array<int>(S::kBoundsAt, kRows);
    for (int row = static_cast<int>(threadIdx.x); row < kRows; row += S::kThreads) bounds[row] = bound_of(row);
  }
  __device__ __forceinline__ float* lse2(int j) const { return statistics + (j & 1) * 2 * S::kStreamed; }
};

/// Hides from the queries `query` ... the keys of documents that have ended by then. bounds: the ends of the warp's keys.
template <class S>
__device__ __forceinline__ void hide_ended_documents(typename S::QueryScores& p, const int* bounds, int query) {
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int end = bounds[tile::row_of(m, half)];
#pragma unroll
      for (int n = 0; n < S::kQueryChunk / 8; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          if (query + tile::column_of(n) + i >= end) p[m][n][2 * half + i] = 0.0F;
    }
}

/// d_k and d_v of a warp's keys, which begin at `key`, from the streamed queries `query` ... of one stage.
template <MmaInput kInput, class S>
__device__ __forceinline__ void add_dkv(const Block<S>& block, int stage, int key, int query, float factor, float range, bool has_documents,
                                        typename S::Sums& d_k, typename S::Sums& d_v) {
  constexpr int kWidth = S::kWidth;
#pragma unroll 1
  for (int c = 0; c < S::kStreamed; c += S::kQueryChunk) {
    if (query + c + S::kQueryChunk <= key) continue;                               // all of them before the warp's keys
    if (has_documents && query + c >= block.bounds()[S::kWarpRows - 1]) continue;  // or of later documents
    const uint16_t* const q = block.stage(stage) + c * kWidth;
    const uint16_t* const d_out = q + S::kTile;
    const float* const lse2 = block.lse2(stage) + c;
    const float* const delta = lse2 + S::kStreamed;
    const bool hides = query + c < key + S::kWarpRows - 1;
    typename S::QueryScores p = {}, d_score = {};
    tile::multiply_transposed<kInput, kWidth, 2>(p, block.warp_tile(0), q);
#pragma unroll
    for (int n = 0; n < S::kQueryChunk / 8; ++n) {
      const float2 shift = *reinterpret_cast<const float2*>(lse2 + tile::column_of(n));
#pragma unroll
      for (int m = 0; m < S::kRowTiles; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const bool seen = !hides || query + c + tile::column_of(n) + i % 2 >= key + tile::row_of(m, i / 2);
          p[m][n][i] = seen ? ex2_approx_ftz(p[m][n][i] * factor - (i % 2 == 0 ? shift.x : shift.y)) : 0.0F;
        }
    }
    if (has_documents && query + c + S::kQueryChunk > block.bounds()[0]) hide_ended_documents<S>(p, block.bounds(), query + c);
    tile::multiply<kInput, kWidth>(d_v, p, d_out);
    tile::multiply_transposed<kInput, kWidth, 2>(d_score, block.warp_tile(1), d_out);
#pragma unroll
    for (int n = 0; n < S::kQueryChunk / 8; ++n) {
      const float2 mean = *reinterpret_cast<const float2*>(delta + tile::column_of(n));
#pragma unroll
      for (int m = 0; m < S::kRowTiles; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          d_score[m][n][i] = p[m][n][i] * (d_score[m][n][i] - (i % 2 == 0 ? mean.x : mean.y));
          if constexpr (kInput == MmaInput::f16) d_score[m][n][i] *= range;
        }
    }
    tile::multiply<kInput, kWidth>(d_k, d_score, q);
  }
}

/// `sums` times `factor` into the warp's rows of d_qkv, which begin at position `first`, columns `column` ...
template <MmaInput kInput, class S>
__device__ __forceinline__ void store_sums(const FlashBwd& g, uint16_t* tile, const typename S::Sums& sums, float factor, int sequence,
                                           int first, int column, OutputQuantizer<true>& quantizer) {
  float factors[S::kRowTiles][2];
#pragma unroll
  for (auto& of_rows : factors) of_rows[0] = of_rows[1] = factor;
  const int64_t to = (static_cast<int64_t>(sequence) * g.length + first) * g.layout.cols() + column;
  tile::store_rows<kInput, S::kWidth>(tile, sums, factors, g.d_qkv + to, g.layout.cols(), g.length - first,
                                      QuantizeStored<kInput>{quantizer, to});
}

template <MmaInput kInput, class S>
__global__ void __launch_bounds__(S::kThreads, S::kWidth == 128 ? 1 : 2) flash_dkv_kernel(FlashBwd g, FusedQuant quant) {
  constexpr int kWidth = S::kWidth, kStreamed = S::kStreamed;
  const BlockPlace place(g.layout.kv_heads, g.batch);
  const Block<S> block;
  const int kv_head = place.head, group = g.layout.group();
  const int first_key = place.tile * kRows;  // the first keys have the most queries, and start first
  const int stride = g.layout.cols(), out_stride = g.layout.heads * kWidth;
  const int64_t first_row = static_cast<int64_t>(place.sequence) * g.length;
  int end = g.length;  // of the queries that see a key of the block
  if (g.has_documents()) {
    const int32_t* const ends = g.document_end + static_cast<int64_t>(place.sequence) * g.padded + first_key;
    block.begin_bounds([ends](int row) { return ends[row]; });
    end = ends[kRows - 1];
  }
  const int stages = group * ((end - first_key + kStreamed - 1) / kStreamed);
  int head = kv_head * group, next_query = first_key;  // of the stage that is loaded next
  const auto begin_stage = [&](int j) {
    if (j < stages) {
      const int query = next_query;
      uint16_t* const to = block.stage(j);
      tile::begin_load<kWidth, kStreamed, S::kThreads>(to, g.qkv + (first_row + query) * stride + g.layout.q(head), stride,
                                                       g.length - query);
      tile::begin_load<kWidth, kStreamed, S::kThreads>(to + S::kTile, g.d_out + (first_row + query) * out_stride + g.layout.q(head),
                                                       out_stride, g.length - query);
      const int thread = static_cast<int>(threadIdx.x);
      if (thread < 2 * kStreamed / 4) {
        const float* const from = (thread < kStreamed / 4 ? g.lse2 : g.delta) + g.padded_row(place.sequence, head) + query;
        cp_async_16(block.lse2(j) + thread * 4, from + thread % (kStreamed / 4) * 4);
      }
      next_query += kStreamed;
      if (next_query >= end) next_query = first_key, ++head;
    }
    cp_async_commit();
  };
  const uint16_t* const keys = g.qkv + (first_row + first_key) * stride;
  tile::begin_load<kWidth, kRows, S::kThreads>(block.own, keys + g.layout.k(kv_head), stride, g.length - first_key);
  tile::begin_load<kWidth, kRows, S::kThreads>(block.own + S::kOwnTile, keys + g.layout.v(kv_head), stride, g.length - first_key);
  begin_stage(0);
  const float range = kInput == MmaInput::f16 ? range_factor(*g.d_out_amax) : 1.0F;
  typename S::Sums d_k = {}, d_v = {};
  int query = first_key;
  for (int j = 0; j < stages; ++j) {
    begin_stage(j + 1);
    cp_async_wait<1>();
    __syncthreads();
    add_dkv<kInput>(block, j, first_key + block.warp_row, query, g.scale * kLog2E, range, g.has_documents(), d_k, d_v);
    query += kStreamed;
    if (query >= end) query = first_key;
    __syncthreads();  // the stage is free
  }
  const int warp_key = first_key + block.warp_row;
  OutputQuantizer<true> quantizer(quant);
  store_sums<kInput, S>(g, block.warp_tile(0), d_k, g.scale / range, place.sequence, warp_key, g.layout.k(kv_head), quantizer);
  store_sums<kInput, S>(g, block.warp_tile(1), d_v, 1.0F, place.sequence, warp_key, g.layout.v(kv_head), quantizer);
  if (quant.is_wanted()) quantizer.finish(shared_array<float>(0, 1));
}

/// Hides from the warp's queries the keys `key` ... before their documents. bounds: the first key of each query.
template <class S>
__device__ __forceinline__ void hide_earlier_documents(typename S::KeyScores& d_score, const int* bounds, int key) {
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int begin = bounds[tile::row_of(m, half)];
#pragma unroll
      for (int n = 0; n < S::kKeyChunk / 8; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          if (key + tile::column_of(n) + i < begin) d_score[m][n][2 * half + i] = 0.0F;
    }
}

/// d_q of a warp's queries, which begin at `query`, from the streamed keys `key` ... of one stage.
template <MmaInput kInput, class S>
__device__ __forceinline__ void add_dq(const Block<S>& block, int stage, int query, int key, float factor, float range, bool has_documents,
                                       const float (&lse2)[S::kRowTiles][2], const float (&delta)[S::kRowTiles][2], typename S::Sums& d_q) {
  constexpr int kWidth = S::kWidth;
#pragma unroll 1
  for (int c = 0; c < S::kStreamed; c += S::kKeyChunk) {
    if (key + c >= query + S::kWarpRows) continue;                               // all of them after the warp's queries
    if (has_documents && key + c + S::kKeyChunk <= block.bounds()[0]) continue;  // or before their documents
    const uint16_t* const k = block.stage(stage) + c * kWidth;
    const bool hides = key + c + S::kKeyChunk > query + 1;
    typename S::KeyScores p = {}, d_score = {};
    tile::multiply_transposed<kInput, kWidth>(p, block.warp_tile(0), k);
    tile::multiply_transposed<kInput, kWidth>(d_score, block.warp_tile(1), k + S::kTile);
#pragma unroll
    for (int m = 0; m < S::kRowTiles; ++m)
#pragma unroll
      for (int n = 0; n < S::kKeyChunk / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const bool seen = !hides || key + c + tile::column_of(n) + i % 2 <= query + tile::row_of(m, i / 2);
          const float probability = seen ? ex2_approx_ftz(p[m][n][i] * factor - lse2[m][i / 2]) : 0.0F;
          d_score[m][n][i] = probability * (d_score[m][n][i] - delta[m][i / 2]);
          if constexpr (kInput == MmaInput::f16) d_score[m][n][i] *= range;
        }
    if (has_documents && key + c < block.bounds()[S::kWarpRows - 1]) hide_earlier_documents<S>(d_score, block.bounds(), key + c);
    tile::multiply<kInput, kWidth>(d_q, d_score, k);
  }
}

template <MmaInput kInput, class S>
__global__ void __launch_bounds__(S::kThreads, S::kWidth == 128 ? 1 : 2) flash_dq_kernel(FlashBwd g, FusedQuant quant) {
  constexpr int kWidth = S::kWidth, kStreamed = S::kStreamed;
  const BlockPlace place(g.layout.heads, g.batch);
  const Block<S> block;
  const int head = place.head, first_query = g.padded - (place.tile + 1) * kRows;  // the last queries have the most keys
  const int kv_head = head / g.layout.group(), stride = g.layout.cols(), out_stride = g.layout.heads * kWidth;
  const int64_t first_row = static_cast<int64_t>(place.sequence) * g.length;
  const int tiles = (min(g.length, first_query + kRows) + kStreamed - 1) / kStreamed;
  int first_tile = 0;
  if (g.has_documents()) {
    const int32_t* const start = g.document_start + first_row;
    block.begin_bounds([&](int row) { return first_key_of(start, min(first_query + row, g.length - 1)); });
    first_tile = first_key_of(start, first_query) / kStreamed;
  }
  const auto begin_stage = [&](int j) {
    if (j < tiles) {
      const uint16_t* const from = g.qkv + (first_row + j * kStreamed) * stride;
      uint16_t* const to = block.stage(j);
      tile::begin_load<kWidth, kStreamed, S::kThreads>(to, from + g.layout.k(kv_head), stride, g.length - j * kStreamed);
      tile::begin_load<kWidth, kStreamed, S::kThreads>(to + S::kTile, from + g.layout.v(kv_head), stride, g.length - j * kStreamed);
    }
    cp_async_commit();
  };
  const int64_t first = first_row + first_query;
  tile::begin_load<kWidth, kRows, S::kThreads>(block.own, g.qkv + first * stride + g.layout.q(head), stride, g.length - first_query);
  tile::begin_load<kWidth, kRows, S::kThreads>(block.own + S::kOwnTile, g.d_out + first * out_stride + g.layout.q(head), out_stride,
                                               g.length - first_query);
  begin_stage(first_tile);
  const int warp_query = first_query + block.warp_row;
  float lse2[S::kRowTiles][2], delta[S::kRowTiles][2];
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = g.padded_row(place.sequence, head) + warp_query + tile::row_of(m, half);
      lse2[m][half] = g.lse2[at];
      delta[m][half] = g.delta[at];
    }
  const float range = kInput == MmaInput::f16 ? range_factor(*g.d_out_amax) : 1.0F;
  typename S::Sums d_q = {};
  for (int j = first_tile; j < tiles; ++j) {
    begin_stage(j + 1);
    cp_async_wait<1>();
    __syncthreads();
    add_dq<kInput>(block, j, warp_query, j * kStreamed, g.scale * kLog2E, range, g.has_documents(), lse2, delta, d_q);
    __syncthreads();  // the stage is free
  }
  OutputQuantizer<true> quantizer(quant);
  store_sums<kInput, S>(g, block.warp_tile(0), d_q, g.scale / range, place.sequence, warp_query, g.layout.q(head), quantizer);
  if (quant.is_wanted()) quantizer.finish(shared_array<float>(0, 1));
}

/// Of the blocks that work on `heads` heads of every sequence: a maximum each, when those are wanted.
int64_t maxima_of(const FlashBwd& g, int64_t heads) { return heads * g.batch * (g.padded / kRows); }

/// The one instance that runs, of each kernel.
struct Chosen {
  void (*delta)(FlashBwd, int64_t);
  void (*dkv)(FlashBwd, FusedQuant);
  void (*dq)(FlashBwd, FusedQuant);
  unsigned threads;  // of dkv and dq
  size_t shared_bytes;
};
template <MmaInput kInput, class S>
Chosen chosen() {
  return {flash_delta_kernel<kInput, S::kWidth>, flash_dkv_kernel<kInput, S>, flash_dq_kernel<kInput, S>, S::kThreads, S::kBytes};
}
Chosen kernels_of(const AttentionBwdArgs& args, size_t shared_bytes) {
  return choose(
      [&]<MmaInput kInput, int kWidth>(Is<kInput>, Is<kWidth>) {
        if constexpr (kWidth == 128) {
          if (Shape<kWidth, 64>::kBytes > shared_bytes) return chosen<kInput, Shape<kWidth, 32>>();
        }
        return chosen<kInput, Shape<kWidth, 64>>();
      },
      FlashInputs{flash_input(args.qkv.dtype)}, FlashWidths{static_cast<int>(args.head_dim())});
}

}  // namespace

void launch_attention_flash_bwd(const AttentionBwdArgs& args, const LaunchContext& context, size_t shared_bytes) {
  expect_flash(args);
  const int64_t padded = (args.sequence_length + kRows - 1) / kRows * kRows, count = args.batch() * args.num_heads * padded;
  const int64_t blocks = args.batch() * (args.num_heads + args.num_kv_heads) * (padded / kRows);
  const int64_t ends = args.document_start.empty() ? 0 : args.batch() * padded;
  float* const lse2 = context.scratch.get<float>(static_cast<size_t>(2 * count + 1 + blocks + ends));
  const FlashBwd g{.d_out = args.d_out.as<uint16_t>(),
                   .qkv = args.qkv.as<uint16_t>(),
                   .out = args.out.as<uint16_t>(),
                   .lse = args.lse.as<float>(),
                   .d_qkv = args.d_qkv.as<uint16_t>(),
                   .lse2 = lse2,
                   .delta = lse2 + count,
                   .d_out_amax = lse2 + 2 * count,
                   .document_start = args.document_start.as<int32_t>(),
                   .document_end = reinterpret_cast<int32_t*>(lse2 + 2 * count + 1 + blocks),
                   .layout = layout_of(args),
                   .batch = static_cast<int>(args.batch()),
                   .length = static_cast<int>(args.sequence_length),
                   .padded = static_cast<int>(padded),
                   .scale = args.scale};
  QuantizedOutput d_qkv(args.d_qkv, args.quantized, context);
  FusedQuant quant = d_qkv.quant(blocks, lse2 + 2 * count + 1);
  const Chosen chosen = kernels_of(args, shared_bytes);

  constexpr int kDeltaThreads = 256;
  const int64_t delta_blocks = (count * (args.head_dim() / 8) + kDeltaThreads - 1) / kDeltaThreads;
  if (args.qkv.dtype == DType::f16)
    check(cudaMemsetAsync(g.d_out_amax, 0, sizeof(float), context.stream), "attention_bwd: zeroing an amax");
  launch("flash_delta", chosen.delta, {static_cast<unsigned>(delta_blocks), kDeltaThreads}, context.stream, g, count);
  const auto run = [&](const char* name, void (*kernel)(FlashBwd, FusedQuant), int64_t heads) {
    const LaunchShape shape{flat_blocks(op_name(args), heads, g.batch, g.padded / kRows), chosen.threads, chosen.shared_bytes};
    allow_shared_bytes(name, kernel, shape.shared_bytes);
    launch(name, kernel, shape, context.stream, g, quant);
    if (quant.parts != nullptr) quant.parts += maxima_of(g, heads);
  };
  run("flash_dkv", chosen.dkv, g.layout.kv_heads);
  run("flash_dq", chosen.dq, g.layout.heads);
  d_qkv.finish();
}

}  // namespace mbt::cuda

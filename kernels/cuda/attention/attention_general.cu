// Attention for any head width and dtype (contract: core/ops/attention.h): a warp per row, its keys (or queries) 32 at a time, one per
// lane. Slow beside the tiled kernels of attention_flash_*.cu, for it reads every key once per query; it serves f32, odd head widths and
// the cached form, where a row per head is all there is.
//   attention_rows      forward: a warp per query; online softmax over 32 keys at a time
//   attention_delta     delta = rowsum(d_out * out), a warp per query
//   attention_rows_dq   a warp per query
//   attention_rows_dkv  a warp per key: the queries of all heads of the group that see it, in order
//   attention_cancel    f32 only: the key gradients of a sequence sum to zero
//   attention_append    the cached form: new keys and values into the caches
//   attention_split     the cached form, few queries and many keys: a warp per part of a query's keys, so that more than a warp a head
//   work; attention_merge     then a warp per query, over the parts in order
// Of a sequence of several documents each row reads its own alone (device/documents.h), as if that were the sequence: the same bits.
// Each comes with 16-byte loads where pointers and widths allow. Sums have a fixed order.
#include <algorithm>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/attention_paths.h"
#include "kernels/cuda/device/documents.h"
#include "kernels/cuda/device/element.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kWarps = 4;                  // of a block; each works on a row of its own
constexpr int kBlocks = 4;                 // that share a multiprocessor at least: registers for a row's sums
constexpr int64_t kSplitKeys = 256;        // of a part at least, in attention_split
constexpr int64_t kMostSplits = 64;        // of a query: what its parts take in scratch
constexpr int64_t kMostSplitQueries = 8;   // more of them fill the device by themselves
constexpr size_t kPlainShared = 48 << 10;  // what a block may have without asking

__device__ int lane_of() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ int warp_of() { return static_cast<int>(threadIdx.x) / kWarp; }

/// The warp's own `count` floats of shared memory.
__device__ float* warp_floats(int64_t count) { return shared_array<float>(0, static_cast<size_t>(kWarps * count)) + warp_of() * count; }

/// Sum of x[c] * y[c]; x lies in shared memory.
template <bool kAligned, class T>
__device__ float dot(const float* x, const T* y, int width) {
  constexpr int kStep = kAligned ? Vector<T>::kSize : 4;
  float sums[kStep] = {};
  int c = 0;
  if constexpr (kAligned) {
    for (; c < width; c += kStep) {
      const Vector<T> v = Vector<T>::at(y, c);
#pragma unroll
      for (int i = 0; i < kStep; ++i) sums[i] += x[c + i] * v.values[i];
    }
  } else {
    for (; c + kStep <= width; c += kStep)
#pragma unroll
      for (int i = 0; i < kStep; ++i) sums[i] += x[c + i] * load(y, c + i);
    for (; c < width; ++c) sums[0] += x[c] * load(y, c);
  }
#pragma unroll
  for (int half = kStep / 2; half > 0; half /= 2)
#pragma unroll
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  return sums[0];
}

/// to[d] = from[d] as floats, by the lanes of a warp.
template <class T>
__device__ void copy_row(float* to, const T* from, int width) {
  for (int d = lane_of(); d < width; d += kWarp) to[d] = load(from, d);
}

/// sum[d] = sum[d] * correction + sum over j of weights[j] * rows[first + j][d].
template <class T>
__device__ void add_rows(float* sum, float correction, const float* weights, int count, const HeadRows<const T>& rows, int64_t first,
                         int width) {
  for (int d = lane_of(); d < width; d += kWarp) {
    float part = 0.0F;
    for (int j = 0; j < count; ++j) part += weights[j] * load(rows.row(first + j), d);
    sum[d] = sum[d] * correction + part;
  }
}

/// What a row knows of its softmax: the largest score, and the sum of exponentials relative to it.
struct RowSoftmax {
  float max, sum;
};

/// Online softmax of the query `q` over keys [begin, end): out [width] becomes the sum of exponentials times values. q, out and p [kWarp]
/// lie in the warp's shared memory.
template <bool kAligned, class T>
__device__ RowSoftmax attend(const float* q, float* out, float* p, const HeadRows<const T>& k, const HeadRows<const T>& v, int64_t begin,
                             int64_t end, int width, float scale) {
  const int lane = lane_of();
  for (int d = lane; d < width; d += kWarp) out[d] = 0.0F;
  __syncwarp();
  RowSoftmax row{-INFINITY, 0.0F};
  for (int64_t j = begin; j < end; j += kWarp) {
    const bool seen = j + lane < end;
    const float score = seen ? scale * dot<kAligned>(q, k.row(j + lane), width) : -INFINITY;
    const float new_max = fmaxf(row.max, warp_max(score)), correction = expf(row.max - new_max);
    p[lane] = seen ? expf(score - new_max) : 0.0F;
    row.sum = row.sum * correction + warp_sum(p[lane]);
    row.max = new_max;
    __syncwarp();
    add_rows(out, correction, p, static_cast<int>(min(end - j, int64_t{kWarp})), v, j, width);
    __syncwarp();
  }
  return row;
}

/// `queries` rows of a sequence at positions first_position + row. Sequence b begins at row b * queries of q, out and lse, at row 0 of its
/// keys, which are those of the same rows (or the caches, of one sequence).
template <class T>
struct RowsFwd {
  const T *q, *k, *v;
  T* out;
  float* lse;                     // [B,H,queries] or null
  const int32_t* document_start;  // [B,queries] or null
  Fault* fault;
  HeadLayout layout;
  int64_t q_stride, kv_stride;
  int64_t queries, first_position, tiles;
  float scale;
};

template <bool kAligned, class T>
__global__ void __launch_bounds__(kWarps* kWarp, kBlocks) attention_rows_kernel(RowsFwd<T> g) {
  const int head = static_cast<int>(blockIdx.y), kv_head = head / g.layout.group();
  const int64_t sequence = blockIdx.x % (gridDim.x / g.tiles);
  const int64_t tile = g.tiles - 1 - blockIdx.x / (gridDim.x / g.tiles);  // the longest rows first
  const int64_t query = tile * kWarps + warp_of(), n = sequence * g.queries + query;
  if (query >= g.queries) return;
  const int width = g.layout.width, lane = lane_of();
  const int64_t kv_column = kv_head * width;
  const HeadRows<const T> k{g.k + sequence * g.queries * g.kv_stride + kv_column, g.kv_stride};
  const HeadRows<const T> v{g.v + sequence * g.queries * g.kv_stride + kv_column, g.kv_stride};
  float* const q = warp_floats(2 * width + kWarp);
  float *const out = q + width, *const p = out + width;
  copy_row(q, g.q + n * g.q_stride + g.layout.q(head), width);
  const int32_t* const document_start = g.document_start == nullptr ? nullptr : g.document_start + sequence * g.queries;
  if (document_start != nullptr && head == 0 && lane == 0)
    report_no_document(document_start, static_cast<int>(query), sequence * g.queries, g.fault);
  const int64_t begin = first_key_of(document_start, static_cast<int>(query));
  const RowSoftmax row = attend<kAligned>(q, out, p, k, v, begin, g.first_position + query + 1, width, g.scale);
  const float factor = 1.0F / row.sum;
  T* const to = g.out + (n * g.layout.heads + head) * width;
  for (int d = lane; d < width; d += kWarp) store(to, d, out[d] * factor);
  if (lane == 0 && g.lse != nullptr) g.lse[(sequence * g.layout.heads + head) * g.queries + query] = row.max + logf(row.sum);
}

/// How the keys of a cached call are cut: part s of a query has keys [s * keys, (s + 1) * keys) of those it sees.
struct Split {
  int64_t keys, count;
  float* parts;  // [queries, heads, count, width + 2]: attend's out, its largest score, its sum

  __device__ float* part(int64_t row, int64_t s, int width) const { return parts + (row * count + s) * (width + 2); }
};

template <bool kAligned, class T>
__global__ void __launch_bounds__(kWarps* kWarp, kBlocks) attention_split_kernel(RowsFwd<T> g, Split split) {
  const int head = static_cast<int>(blockIdx.y), width = g.layout.width, lane = lane_of();
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + warp_of(), query = index / split.count, s = index % split.count;
  const int64_t keys = g.first_position + query + 1, begin = s * split.keys;
  if (query >= g.queries || begin >= keys) return;
  const int64_t column = static_cast<int64_t>(head / g.layout.group()) * width;
  float* const q = warp_floats(2 * width + kWarp);
  float* const out = q + width;
  copy_row(q, g.q + query * g.q_stride + g.layout.q(head), width);
  const RowSoftmax row =
      attend<kAligned>(q, out, out + width, HeadRows<const T>{g.k + column, g.kv_stride}, HeadRows<const T>{g.v + column, g.kv_stride},
                       begin, min(begin + split.keys, keys), width, g.scale);
  float* const to = split.part(query * g.layout.heads + head, s, width);
  for (int d = lane; d < width; d += kWarp) to[d] = out[d];
  if (lane == 0) to[width] = row.max, to[width + 1] = row.sum;
}

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp) attention_merge_kernel(RowsFwd<T> g, Split split) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + warp_of();  // of [queries, heads]
  if (row >= g.queries * g.layout.heads) return;
  const int width = g.layout.width;
  const int64_t keys = g.first_position + row / g.layout.heads + 1, count = (keys + split.keys - 1) / split.keys;
  float max = -INFINITY, sum = 0.0F;
  for (int64_t s = 0; s < count; ++s) max = fmaxf(max, split.part(row, s, width)[width]);
  for (int64_t s = 0; s < count; ++s) sum += expf(split.part(row, s, width)[width] - max) * split.part(row, s, width)[width + 1];
  for (int d = lane_of(); d < width; d += kWarp) {
    float out = 0.0F;
    for (int64_t s = 0; s < count; ++s) out += expf(split.part(row, s, width)[width] - max) * split.part(row, s, width)[d];
    store(g.out + row * width, d, out / sum);
  }
}

/// `length` is T; delta and lse are [B,H,T].
template <class T>
struct RowsBwd {
  const T *d_out, *qkv, *out;
  const float* lse;
  T* d_qkv;
  float* delta;
  const int32_t* document_start;  // [B,T] or null
  HeadLayout layout;
  int64_t length, tiles;
  float scale;

  __device__ const int32_t* documents_of(int64_t sequence) const {
    return document_start == nullptr ? nullptr : document_start + sequence * length;
  }

  __device__ HeadRows<const T> rows_of(int64_t sequence, int column) const {
    return {qkv + sequence * length * layout.cols() + column, layout.cols()};
  }
  __device__ HeadRows<const T> d_out_of(int64_t sequence, int64_t head) const {
    return {d_out + (sequence * length * layout.heads + head) * layout.width, layout.heads * layout.width};
  }
};

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp, kBlocks) attention_delta_kernel(RowsBwd<T> g, int64_t rows) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + warp_of();  // of [N * H, D]
  if (row >= rows) return;
  const int width = g.layout.width;
  float sum = 0.0F;
  for (int d = lane_of(); d < width; d += kWarp) sum += load(g.d_out + row * width, d) * load(g.out + row * width, d);
  sum = warp_sum(sum);
  const int64_t n = row / g.layout.heads, head = row % g.layout.heads;
  if (lane_of() == 0) g.delta[(n / g.length * g.layout.heads + head) * g.length + n % g.length] = sum;
}

template <bool kAligned, class T>
__global__ void __launch_bounds__(kWarps* kWarp, kBlocks) attention_rows_dq_kernel(RowsBwd<T> g) {
  const int head = static_cast<int>(blockIdx.y), kv_head = head / g.layout.group();
  const int64_t sequence = blockIdx.x % (gridDim.x / g.tiles);
  const int64_t query = (g.tiles - 1 - blockIdx.x / (gridDim.x / g.tiles)) * kWarps + warp_of();
  if (query >= g.length) return;
  const int width = g.layout.width, lane = lane_of();
  const HeadRows<const T> k = g.rows_of(sequence, g.layout.k(kv_head)), v = g.rows_of(sequence, g.layout.v(kv_head));
  float* const q = warp_floats(3 * width + kWarp);
  float *const d_out = q + width, *const d_q = d_out + width, *const d_score = d_q + width;
  copy_row(q, g.rows_of(sequence, g.layout.q(head)).row(query), width);
  copy_row(d_out, g.d_out_of(sequence, head).row(query), width);
  for (int d = lane; d < width; d += kWarp) d_q[d] = 0.0F;
  __syncwarp();
  const int64_t at = (sequence * g.layout.heads + head) * g.length + query;
  const float lse = g.lse[at], delta = g.delta[at];
  for (int64_t j = first_key_of(g.documents_of(sequence), static_cast<int>(query)); j <= query; j += kWarp) {
    float value = 0.0F;
    if (j + lane <= query) {
      const float p = expf(g.scale * dot<kAligned>(q, k.row(j + lane), width) - lse);
      value = g.scale * p * (dot<kAligned>(d_out, v.row(j + lane), width) - delta);
    }
    d_score[lane] = value;
    __syncwarp();
    add_rows(d_q, 1.0F, d_score, static_cast<int>(min(query + 1 - j, int64_t{kWarp})), k, j, width);
    __syncwarp();
  }
  T* const to = g.d_qkv + (sequence * g.length + query) * g.layout.cols() + g.layout.q(head);
  for (int d = lane; d < width; d += kWarp) store(to, d, d_q[d]);
}

/// Two products of f32 in 16-byte loads need more than 128 registers.
template <bool kAligned, class T>
constexpr int kDkvBlocks = kAligned && sizeof(T) == sizeof(float) ? 3 : kBlocks;

template <bool kAligned, class T>
__global__ void __launch_bounds__(kWarps* kWarp, kDkvBlocks<kAligned, T>) attention_rows_dkv_kernel(RowsBwd<T> g) {
  const int kv_head = static_cast<int>(blockIdx.y);
  const int64_t sequence = blockIdx.x % (gridDim.x / g.tiles);
  const int64_t key = static_cast<int64_t>(blockIdx.x) / (gridDim.x / g.tiles) * kWarps + warp_of();
  if (key >= g.length) return;
  const int width = g.layout.width, lane = lane_of();
  float* const k = warp_floats(4 * width + 2 * kWarp);
  float *const v = k + width, *const d_k = v + width, *const d_v = d_k + width, *const p = d_v + width, *const d_score = p + kWarp;
  copy_row(k, g.rows_of(sequence, g.layout.k(kv_head)).row(key), width);
  copy_row(v, g.rows_of(sequence, g.layout.v(kv_head)).row(key), width);
  for (int d = lane; d < width; d += kWarp) d_k[d] = d_v[d] = 0.0F;
  __syncwarp();
  const int32_t* const document_start = g.documents_of(sequence);
  const int64_t end = end_of_queries(document_start, static_cast<int>(g.length), static_cast<int>(key));
  for (int head = kv_head * g.layout.group(); head < (kv_head + 1) * g.layout.group(); ++head) {
    const HeadRows<const T> q = g.rows_of(sequence, g.layout.q(head)), d_out = g.d_out_of(sequence, head);
    const int64_t at = (sequence * g.layout.heads + head) * g.length;
    for (int64_t i = key; i < end; i += kWarp) {
      p[lane] = d_score[lane] = 0.0F;
      if (i + lane < end) {
        p[lane] = expf(g.scale * dot<kAligned>(k, q.row(i + lane), width) - g.lse[at + i + lane]);
        d_score[lane] = g.scale * p[lane] * (dot<kAligned>(v, d_out.row(i + lane), width) - g.delta[at + i + lane]);
      }
      __syncwarp();
      const int count = static_cast<int>(min(end - i, int64_t{kWarp}));
      add_rows(d_v, 1.0F, p, count, d_out, i, width);
      add_rows(d_k, 1.0F, d_score, count, q, i, width);
      __syncwarp();
    }
  }
  T* const to = g.d_qkv + (sequence * g.length + key) * g.layout.cols();
  for (int d = lane; d < width; d += kWarp) {
    store(to + g.layout.k(kv_head), d, d_k[d]);
    store(to + g.layout.v(kv_head), d, d_v[d]);
  }
}

struct CancelPart {
  double sum;
  float least;
  int64_t smallest;
};
constexpr int kCancelParts = 8;  // slices of the rows, added in order

/// Makes the column x of `length` rows sum to zero. is_there: the thread has a column. All threads of the block call it.
__device__ void cancel_column(float* x, int64_t stride, int64_t length, bool is_there, CancelPart* parts) {
  CancelPart own{0.0, INFINITY, 0};
  const auto add = [&own](const CancelPart& other) {
    own.sum += other.sum;
    if (other.least < own.least) own.least = other.least, own.smallest = other.smallest;
  };
  const int64_t slice = (length + kCancelParts - 1) / kCancelParts, begin = warp_of() * slice;
  if (is_there)
    for (int64_t r = begin; r < min(begin + slice, length); ++r) {
      const float value = x[r * stride];
      add({static_cast<double>(value), value == 0.0F ? INFINITY : fabsf(value), r});
    }
  parts[threadIdx.x] = own;
  __syncthreads();
  if (warp_of() == 0 && is_there) {
    for (int part = 1; part < kCancelParts; ++part) add(parts[part * kWarp + lane_of()]);
    x[own.smallest * stride] = static_cast<float>(x[own.smallest * stride] - own.sum);
  }
  __syncthreads();  // parts are free
}

/// A column of keys' gradients shifts all scores of a query alike, so it sums to zero over a document: the smallest non-zero element takes
/// what rounding left. Tokens without a loss keep their exact zeros. Block: 32 columns of a sequence; a warp per slice of the rows.
__global__ void __launch_bounds__(kCancelParts* kWarp) attention_cancel_kernel(float* d_keys, const int32_t* document_start, int64_t stride,
                                                                               int64_t length, int64_t columns, unsigned column_blocks) {
  CancelPart* const parts = shared_array<CancelPart>(0, kCancelParts * kWarp);
  const int64_t column = static_cast<int64_t>(blockIdx.x % column_blocks) * kWarp + lane_of(), sequence = blockIdx.x / column_blocks;
  float* const x = d_keys + sequence * length * stride + column;
  if (document_start == nullptr) return cancel_column(x, stride, length, column < columns, parts);
  for (int64_t begin = 0, end = 0; begin < length; begin = end) {
    end = end_of_queries(document_start + sequence * length, static_cast<int>(length), static_cast<int>(begin));
    cancel_column(x + begin * stride, stride, end - begin, column < columns, parts);
  }
}

template <class T>
__global__ void attention_append_kernel(T* k_cache, T* v_cache, const T* qkv, HeadLayout layout, int64_t rows) {
  const int64_t cols = layout.kv_heads * layout.width;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * cols; i += int64_t{gridDim.x} * blockDim.x) {
    const T* const from = qkv + i / cols * layout.cols() + i % cols;
    k_cache[i] = from[layout.k(0)];
    v_cache[i] = from[layout.v(0)];
  }
}

/// Blocks of kWarps rows of every sequence and head, with `floats_per_warp` floats of shared memory each.
LaunchShape shape_of(int64_t sequences, int64_t tiles, int64_t heads, int64_t floats_per_warp) {
  return {dim3(static_cast<unsigned>(sequences * tiles), static_cast<unsigned>(heads)), kWarps * kWarp,
          static_cast<size_t>(kWarps * floats_per_warp) * sizeof(float)};
}
int64_t tiles_of(int64_t rows) { return (rows + kWarps - 1) / kWarps; }

template <class... P, class G>
void launch_rows(const char* name, void (*kernel)(P...), const LaunchShape& shape, cudaStream_t stream, const G& g) {
  if (shape.shared_bytes > kPlainShared) allow_shared_bytes(name, kernel, shape.shared_bytes);
  launch(name, kernel, shape, stream, g);
}

template <class T>
bool can_load_16(const void* data, int64_t stride, int64_t width) {
  constexpr int kSize = Vector<T>::kSize;
  return is_aligned_16(data) && stride % kSize == 0 && width % kSize == 0;
}

template <class T>
LaunchShape shape_of(const RowsFwd<T>& g, int64_t sequences) {
  return shape_of(sequences, g.tiles, g.layout.heads, 2 * g.layout.width + kWarp);
}
template <class T>
auto rows_kernel_of(const RowsFwd<T>& g) {
  return can_load_16<T>(g.k, g.kv_stride, g.layout.width) ? attention_rows_kernel<true, T> : attention_rows_kernel<false, T>;
}

template <class T>
void launch_split(const RowsFwd<T>& g, const LaunchContext& context) {
  const int64_t keys = g.first_position + g.queries, rows = g.queries * g.layout.heads;
  const int64_t part = std::max(kSplitKeys, (keys + kMostSplits - 1) / kMostSplits), count = (keys + part - 1) / part;
  const Split split{part, count, context.scratch.get<float>(static_cast<size_t>(rows * count * (g.layout.width + 2)))};
  const bool aligned = can_load_16<T>(g.k, g.kv_stride, g.layout.width);
  const auto kernel = aligned ? attention_split_kernel<true, T> : attention_split_kernel<false, T>;
  const LaunchShape shape = shape_of(1, tiles_of(g.queries * count), g.layout.heads, 2 * g.layout.width + kWarp);
  if (shape.shared_bytes > kPlainShared) allow_shared_bytes("attention_split", kernel, shape.shared_bytes);
  launch("attention_split", kernel, shape, context.stream, g, split);
  launch("attention_merge", attention_merge_kernel<T>, {static_cast<unsigned>(tiles_of(rows)), kWarps * kWarp}, context.stream, g, split);
}

}  // namespace

void launch_attention_general_fwd(const AttentionFwdArgs& args, const LaunchContext& context) {
  with_act(op_name(args), args.qkv.dtype, [&]<class T>(T*) {
    const HeadLayout layout = layout_of(args);
    const T* const qkv = args.qkv.as<T>();
    const RowsFwd<T> g{.q = qkv,
                       .k = qkv + layout.k(0),
                       .v = qkv + layout.v(0),
                       .out = args.out.as<T>(),
                       .lse = args.lse.as<float>(),
                       .document_start = args.document_start.as<int32_t>(),
                       .fault = context.fault,
                       .layout = layout,
                       .q_stride = layout.cols(),
                       .kv_stride = layout.cols(),
                       .queries = args.sequence_length,
                       .first_position = 0,
                       .tiles = tiles_of(args.sequence_length),
                       .scale = args.scale};
    launch_rows("attention_rows", rows_kernel_of(g), shape_of(g, args.batch()), context.stream, g);
  });
}

void launch_attention_general_bwd(const AttentionBwdArgs& args, const LaunchContext& context) {
  with_act(op_name(args), args.qkv.dtype, [&]<class T>(T*) {
    const HeadLayout layout = layout_of(args);
    const int64_t batch = args.batch(), length = args.sequence_length, rows = args.qkv.rows() * layout.heads, tiles = tiles_of(length);
    const RowsBwd<T> g{.d_out = args.d_out.as<T>(),
                       .qkv = args.qkv.as<T>(),
                       .out = args.out.as<T>(),
                       .lse = args.lse.as<float>(),
                       .d_qkv = args.d_qkv.as<T>(),
                       .delta = context.scratch.get<float>(static_cast<size_t>(rows)),
                       .document_start = args.document_start.as<int32_t>(),
                       .layout = layout,
                       .length = length,
                       .tiles = tiles,
                       .scale = args.scale};
    const bool aligned = can_load_16<T>(g.qkv, layout.cols(), layout.width) && is_aligned_16(g.d_out);
    launch("attention_delta", attention_delta_kernel<T>, {static_cast<unsigned>(tiles_of(rows)), kWarps * kWarp}, context.stream, g, rows);
    launch_rows("attention_rows_dq", aligned ? attention_rows_dq_kernel<true, T> : attention_rows_dq_kernel<false, T>,
                shape_of(batch, tiles, layout.heads, 3 * layout.width + kWarp), context.stream, g);
    launch_rows("attention_rows_dkv", aligned ? attention_rows_dkv_kernel<true, T> : attention_rows_dkv_kernel<false, T>,
                shape_of(batch, tiles, layout.kv_heads, 4 * layout.width + 2 * kWarp), context.stream, g);
    if constexpr (sizeof(T) == sizeof(float)) {
      const int64_t columns = layout.kv_heads * layout.width;
      const auto column_blocks = static_cast<unsigned>((columns + kWarp - 1) / kWarp);
      const LaunchShape shape{column_blocks * static_cast<unsigned>(batch), kCancelParts * kWarp,
                              kCancelParts * kWarp * sizeof(CancelPart)};
      launch("attention_cancel", attention_cancel_kernel, shape, context.stream, g.d_qkv + layout.k(0), g.document_start, layout.cols(),
             length, columns, column_blocks);
    }
  });
}

void launch_attention_cached(const AttentionCachedArgs& args, const LaunchContext& context) {
  with_act(op_name(args), args.qkv.dtype, [&]<class T>(T*) {
    constexpr int kThreads = 256;
    const HeadLayout layout = layout_of(args);
    const int64_t rows = args.qkv.rows(), kv_cols = layout.kv_heads * layout.width;
    const int64_t blocks = min((rows * kv_cols + kThreads - 1) / kThreads, int64_t{8} * context.multiprocessors);
    launch("attention_append", attention_append_kernel<T>, {static_cast<unsigned>(blocks), kThreads}, context.stream,
           args.k_cache.as<T>() + args.first_position * kv_cols, args.v_cache.as<T>() + args.first_position * kv_cols, args.qkv.as<T>(),
           layout, rows);
    const RowsFwd<T> g{.q = args.qkv.as<T>(),
                       .k = args.k_cache.as<T>(),
                       .v = args.v_cache.as<T>(),
                       .out = args.out.as<T>(),
                       .lse = nullptr,
                       .document_start = nullptr,
                       .fault = context.fault,
                       .layout = layout,
                       .q_stride = layout.cols(),
                       .kv_stride = kv_cols,
                       .queries = rows,
                       .first_position = args.first_position,
                       .tiles = tiles_of(rows),
                       .scale = args.scale};
    const bool splits = rows <= kMostSplitQueries && args.first_position + rows > kSplitKeys;
    if (splits) return launch_split(g, context);
    launch_rows("attention_rows", rows_kernel_of(g), shape_of(g, 1), context.stream, g);
  });
}

}  // namespace mbt::cuda

// embedding_fwd: embedding_fwd_kernel, a thread for a pack of each row.
//
// embedding_bwd sums each row of a table in order of n, so the occurrences of a token must be found in that order:
//   sort_chunk_kernel, merge_kernel   sort the keys (token, n): chunks in shared memory by counting how many keys are smaller, then runs in
//                                     pairs, each key finding its place by a search in the other run. All keys differ: one order only.
//   table_gradient_kernel             a run of equal tokens is a row of the table. One or two columns a thread and many rows under way.
//   segment_gradient_kernel           comes before it: the sum of a run of more than kSegment is no single chain. Its parts, cut where the
//                                     sorted keys' place is a multiple of kSegment, are summed side by side, then in order.
//   position_gradient_kernel          the rows of a position are sequence_length apart; with `positions` they are found as a token's are.
// A token or position outside of its table is reported; forward gives it zeros, backward leaves it out.
#include <algorithm>
#include <utility>

#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/runtime/choose.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kChunk = 512;  // keys of a block
constexpr int kGradientThreads = 128;
constexpr int kSegment = 256;               // places of the sorted keys; longer runs are summed in two levels
constexpr int kRowsAhead = 16;              // loads under way in a sum over rows
constexpr uint32_t kNoToken = 0xFFFFFFFFU;  // sorts behind all tokens

template <class T>
struct EmbeddingFwd {
  const int32_t* tokens;     // [rows]
  const T* table;            // [vocabulary, cols]
  const T* position_table;   // [P, cols] or null
  const int32_t* positions;  // [rows] or null
  int64_t position_rows;     // P
  T* out;                    // [rows, cols]
  int64_t rows, cols, vocabulary, first_position;
  uint32_t sequence_length;
};

/// Token n's row of the position table; -1, reported, where that is outside of it.
template <class T>
__device__ int64_t position_of(const EmbeddingFwd<T>& a, int64_t n, int64_t c, Fault* fault) {
  if (a.positions == nullptr) return a.first_position + static_cast<uint32_t>(n) % a.sequence_length;
  const int32_t position = a.positions[n];
  if (position >= 0 && position < a.position_rows) return position;
  if (c == 0) report(fault, Fault::position, n, position, a.position_rows);
  return -1;
}

template <class T, bool kWide>
__global__ void __launch_bounds__(kThreads) embedding_fwd_kernel(EmbeddingFwd<T> a, Fault* fault) {
  using P = RowPack<T, kWide>;
  const int64_t c = pack_of_row() * P::kSize;
  if (c >= a.cols) return;
  for (int64_t n = first_row(); n < a.rows; n += row_step()) {
    const int32_t token = a.tokens[n];
    const bool is_valid = token >= 0 && token < a.vocabulary;
    if (!is_valid && c == 0) report(fault, Fault::token, n, token, a.vocabulary);
    P p = P::at_or_zero(is_valid, a.table, token * a.cols + c);
    if (a.position_table != nullptr) {
      const int64_t row = position_of(a, n, c, fault);
      const P position = P::at_or_zero(row >= 0, a.position_table, row * a.cols + c);
      p.set_each([&](int k) { return p[k] + position[k]; });
    }
    p.put(a.out, n * a.cols + c);
  }
}

__device__ uint32_t token_of(uint64_t key) { return static_cast<uint32_t>(key >> 32); }
__device__ int64_t row_of(uint64_t key) { return static_cast<int64_t>(key & 0xFFFFFFFFU); }

/// keys [count]: each chunk sorted.
__global__ void __launch_bounds__(kChunk) sort_chunk_kernel(const int32_t* __restrict__ tokens, int64_t count, int64_t vocabulary,
                                                            uint64_t* __restrict__ keys, Fault::Kind kind, Fault* fault) {
  uint64_t* chunk = shared_array<uint64_t>(0, kChunk);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kChunk, n = first + threadIdx.x;
  const int size = static_cast<int>(min(static_cast<int64_t>(kChunk), count - first));
  uint64_t key = 0;
  if (n < count) {
    const int32_t token = tokens[n];
    const bool is_valid = token >= 0 && token < vocabulary;
    if (!is_valid) report(fault, kind, n, token, vocabulary);
    key = static_cast<uint64_t>(is_valid ? static_cast<uint32_t>(token) : kNoToken) << 32 | static_cast<uint64_t>(n);
    chunk[threadIdx.x] = key;
  }
  __syncthreads();
  if (n >= count) return;
  int smaller = 0;
#pragma unroll 8
  for (int i = 0; i < size; ++i) smaller += chunk[i] < key ? 1 : 0;
  keys[first + smaller] = key;
}

/// Sorted runs of `length` keys become runs of twice the length.
__global__ void __launch_bounds__(kThreads)
    merge_kernel(const uint64_t* __restrict__ keys, int64_t count, int64_t length, uint64_t* __restrict__ out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const uint64_t key = keys[i];
  const int64_t run = i / length, other = min((run ^ 1) * length, count), other_end = min(other + length, count);
  int64_t low = other, high = other_end;  // the first key of the other run that is larger
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  out[(run & ~int64_t{1}) * length + (i - run * length) + (low - other)] = key;
}

/// sum += d_out[row(j)] for j = 0, 1, ... while j < count, in this order, many loads ahead.
template <class P, class T, class Row>
__device__ void add_rows(const T* d_out, int64_t cols, int64_t c, int64_t count, Row row, Pack<float, P::kSize>& sum) {
  for (int64_t j = 0; j < count; j += kRowsAhead) {
    P ahead[kRowsAhead];
#pragma unroll
    for (int r = 0; r < kRowsAhead; ++r) {
      const bool is_there = j + r < count;
      ahead[r] = P::at_or_zero(is_there, d_out, is_there ? row(j + r) * cols + c : 0);
    }
#pragma unroll
    for (int r = 0; r < kRowsAhead; ++r) {
      if (j + r >= count) break;
#pragma unroll
      for (int k = 0; k < P::kSize; ++k) sum.elements[k] += ahead[r][k];
    }
  }
}

/// The end of the run of equal tokens that place `first` is part of; most runs are short, so steps grow from there.
__device__ int64_t end_of_run(const uint64_t* keys, int64_t first, int64_t count) {
  const uint32_t token = token_of(keys[first]);
  int64_t low = first + 1, high = count;
  for (int64_t step = 1; low + step < high; step *= 2) {
    if (token_of(keys[low + step - 1]) != token) {
      high = low + step - 1;
      break;
    }
    low += step;
  }
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (token_of(keys[middle]) == token) low = middle + 1;
    else high = middle;
  }
  return low;
}

/// Where the run begins that place `at` is part of.
__device__ int64_t begin_of_run(const uint64_t* keys, int64_t at) {
  const uint32_t token = token_of(keys[at]);
  int64_t low = 0, high = at;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (token_of(keys[middle]) == token) high = middle;
    else low = middle + 1;
  }
  return low;
}

/// Segment blockIdx.x / 2 of the sorted keys meets at most two runs that are longer than it: one that began before it (even blocks), and
/// one that begins in it and leaves it or ends with the keys (odd blocks). sums [2 * segments, cols]: their sums within the segment.
template <class T, int kColumns>
__global__ void __launch_bounds__(kGradientThreads) segment_gradient_kernel(const uint64_t* __restrict__ keys, const T* __restrict__ d_out,
                                                                            float* __restrict__ sums, int64_t count, int64_t cols) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x / 2) * kSegment, end = min(begin + kSegment, count);
  const bool begins_here = blockIdx.x % 2 == 1;
  const int64_t at = begins_here ? end - 1 : begin;
  if (token_of(keys[at]) == kNoToken) return;
  const int64_t run = begin_of_run(keys, at), run_end = end_of_run(keys, at, count);
  if (run_end - run <= kSegment || (run >= begin) != begins_here) return;
  const int64_t c = (static_cast<int64_t>(blockIdx.y) * kGradientThreads + threadIdx.x) * kColumns;
  if (c >= cols) return;
  const int64_t first = max(run, begin);
  Pack<float, kColumns> sum{};
  add_rows<Pack<T, kColumns>>(
      d_out, cols, c, min(run_end, end) - first, [&](int64_t j) { return row_of(keys[first + j]); }, sum);
  sum.put(sums, static_cast<int64_t>(blockIdx.x) * cols + c);
}

/// blockIdx.x is a place in the sorted keys: the block works if a run of equal tokens begins there.
template <class T, int kColumns>
__global__ void __launch_bounds__(kGradientThreads)
    table_gradient_kernel(const uint64_t* __restrict__ keys, const T* __restrict__ d_out, const float* __restrict__ segment_sums,
                          float* __restrict__ d_table, int64_t count, int64_t cols) {
  const int64_t first = blockIdx.x;
  const uint32_t token = token_of(keys[first]);
  if (token == kNoToken || (first > 0 && token_of(keys[first - 1]) == token)) return;
  const int64_t end = end_of_run(keys, first, count);
  const int64_t c = (static_cast<int64_t>(blockIdx.y) * kGradientThreads + threadIdx.x) * kColumns;
  if (c >= cols) return;
  using Sums = Pack<float, kColumns>;
  Sums sum = Sums::at(d_table, token * cols + c);
  if (end - first > kSegment) {
    const int64_t segment = first / kSegment;
    add_rows<Sums>(
        segment_sums, cols, c, (end - 1) / kSegment - segment + 1, [&](int64_t j) { return 2 * (segment + j) + (j == 0 ? 1 : 0); }, sum);
  } else {
    add_rows<Pack<T, kColumns>>(
        d_out, cols, c, end - first, [&](int64_t j) { return row_of(keys[first + j]); }, sum);
  }
  sum.put(d_table, token * cols + c);
}

/// blockIdx.x is the position.
template <class T, int kColumns>
__global__ void __launch_bounds__(kGradientThreads) position_gradient_kernel(const T* __restrict__ d_out, float* __restrict__ d_positions,
                                                                             int64_t count, int64_t cols, int64_t sequence_length) {
  const int64_t position = blockIdx.x, c = (static_cast<int64_t>(blockIdx.y) * kGradientThreads + threadIdx.x) * kColumns;
  if (c >= cols) return;
  using Sums = Pack<float, kColumns>;
  Sums sum = Sums::at(d_positions, position * cols + c);
  const int64_t rows = (count - position + sequence_length - 1) / sequence_length;
  add_rows<Pack<T, kColumns>>(
      d_out, cols, c, rows, [&](int64_t j) { return position + j * sequence_length; }, sum);
  sum.put(d_positions, position * cols + c);
}

unsigned blocks_of(int64_t count, int64_t threads) { return static_cast<unsigned>((count + threads - 1) / threads); }

/// What rows of d_out are added to: row indices[n] of `table`. `kind`: of the fault when there is no such row.
struct TableGradient {
  ConstTensorView indices;  // [N] i32
  TensorView table;         // [rows, C] f32
  Fault::Kind kind;
};

/// The sorted keys (index, n), in one half of `keys` [2 * N].
const uint64_t* sorted_keys(const TableGradient& to, uint64_t* keys, const LaunchContext& context) {
  const int64_t count = to.indices.size();
  uint64_t* other = keys + count;
  launch("embedding_sort", sort_chunk_kernel, {dim3(blocks_of(count, kChunk)), dim3(kChunk), sizeof(uint64_t) * kChunk}, context.stream,
         to.indices.as<int32_t>(), count, to.table.rows(), keys, to.kind, context.fault);
  for (int64_t length = kChunk; length < count; length *= 2) {
    launch("embedding_merge", merge_kernel, {dim3(blocks_of(count, kThreads)), dim3(kThreads)}, context.stream, keys, count, length, other);
    std::swap(keys, other);
  }
  return keys;
}

template <class T, int kColumns>
void add_to_table(const ConstTensorView& d_out, const TableGradient& to, const LaunchContext& context) {
  const int64_t count = to.indices.size(), cols = to.table.cols();
  const unsigned tiles = blocks_of(cols, kGradientThreads * kColumns);
  const int64_t segment_rows = count > kSegment ? 2 * blocks_of(count, kSegment) : 0;
  auto* memory = context.scratch.get<uint64_t>(static_cast<size_t>(2 * count + (segment_rows * cols + 1) / 2));
  float* segment_sums = reinterpret_cast<float*>(memory + 2 * count);
  const uint64_t* keys = sorted_keys(to, memory, context);
  launch("embedding_bwd_segments", segment_gradient_kernel<T, kColumns>,
         {dim3(static_cast<unsigned>(segment_rows), tiles), dim3(kGradientThreads)}, context.stream, keys, d_out.as<T>(), segment_sums,
         count, cols);
  launch("embedding_bwd", table_gradient_kernel<T, kColumns>, {dim3(static_cast<unsigned>(count), tiles), dim3(kGradientThreads)},
         context.stream, keys, d_out.as<T>(), segment_sums, to.table.as<float>(), count, cols);
}

template <class Args>
void expect_fewer_rows(const Args& args) {
  const ConstTensorView& tokens = args.tokens;
  MBT_CHECK(tokens.size() <= INT32_MAX && args.sequence_length <= INT32_MAX, "{}: {}, expected fewer than 2^31 tokens", op_name(args),
            tokens.str());
}

}  // namespace

void launch_embedding_fwd(const EmbeddingFwdArgs& args, const LaunchContext& context) {
  expect_fewer_rows(args);
  with_act(op_name(args), args.table.dtype, [&]<class T>(T*) {
    const EmbeddingFwd<T> a{.tokens = args.tokens.as<int32_t>(),
                            .table = args.table.as<T>(),
                            .position_table = args.position_table.as<T>(),
                            .positions = args.positions.as<int32_t>(),
                            .position_rows = args.position_table.rows(),
                            .out = args.out.as<T>(),
                            .rows = args.tokens.size(),
                            .cols = args.table.cols(),
                            .vocabulary = args.table.rows(),
                            .first_position = args.first_position,
                            .sequence_length = static_cast<uint32_t>(args.sequence_length)};
    const bool is_wide = rows_are_aligned<T>(a.cols, {a.table, a.position_table, a.out});
    const LaunchShape shape = shape_of_rows(a.rows, a.cols / (is_wide ? RowPack<T, true>::kSize : 1));
    launch("embedding_fwd", is_wide ? embedding_fwd_kernel<T, true> : embedding_fwd_kernel<T, false>, shape, context.stream, a,
           context.fault);
  });
}

void launch_embedding_bwd(const EmbeddingBwdArgs& args, const LaunchContext& context) {
  if (args.d_out.size() == 0) return;
  expect_fewer_rows(args);
  with_act(op_name(args), args.d_out.dtype, [&]<class T>(T*) {
    const bool in_pairs = args.d_table.cols() % 2 == 0 &&
                          rows_are_aligned<uint8_t>(kAccessBytes, {args.d_out.data, args.d_table.data, args.d_position_table.data});
    choose(
        [&]<int kColumns>(Is<kColumns>) {
          add_to_table<T, kColumns>(args.d_out, {args.tokens, args.d_table, Fault::token}, context);
          if (args.d_position_table.empty()) return;
          if (!args.positions.empty())
            return add_to_table<T, kColumns>(args.d_out, {args.positions, args.d_position_table, Fault::position}, context);
          const int64_t count = args.tokens.size(), cols = args.d_table.cols(), positions = std::min(count, args.sequence_length);
          const dim3 grid(static_cast<unsigned>(positions), blocks_of(cols, kGradientThreads * kColumns));
          launch("embedding_bwd_positions", position_gradient_kernel<T, kColumns>, {grid, dim3(kGradientThreads)}, context.stream,
                 args.d_out.as<T>(), args.d_position_table.as<float>(), count, cols, args.sequence_length);
        },
        OneOf<2, 1>{in_pairs ? 2 : 1});
  });
}

}  // namespace mbt::cuda

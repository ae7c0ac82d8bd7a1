// Casts with one scale a tensor. Without a transposed copy: quantize_cast, flat. With one: quantize_transpose, tiles of 128 x 128 codes
// that pass through shared memory, both copies in one pass over x. Delayed scaling takes its scale from memory and stages the amax on the
// way; current scaling takes it from the partial maxima of an earlier launch: the one that made x (quantize_fused.h), or quantize.cu's.
#include <algorithm>

#include "core/numerics/scaling.h"
#include "kernels/cuda/device/codecs.h"
#include "kernels/cuda/device/four.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/quantize/quantize_parts.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPerThread = 16;                            // codes of one 16-byte store
constexpr int kSide = 128, kChunks = kSide / kPerThread;  // of a tile
constexpr int kQuadRows = 4;                              // rows of a thread's part of a tile

struct TensorArgs {
  int64_t rows, cols;
  uint8_t* codes;       // [rows, cols] or null
  uint8_t* transposed;  // [cols, rows] or null
  float* row_scale_inv;
  float* column_scale_inv;
  const float* scale;  // delayed; null: from amax_parts
  AmaxParts amax_parts;
  float fp8_max;
  bool is_power_of_two;
  float* amax;  // staging slot or null
};

struct TransposeShared {
  uint32_t words[kSide][kSide / 4];  // [column of x][row of x / 4]; the 16-byte chunks of a row lie permuted
  float parts[kWarp];
};

/// The scale, for every thread; the block of index 0 writes what there is one of.
__device__ inline float prepare_scale(const TensorArgs& a, float* shared_parts) {
  float scale = 0;
  if (a.scale != nullptr) {
    scale = *a.scale;
  } else {
    const float amax = block_max(largest_part<kThreads>(a.amax_parts), shared_parts);
    scale = current_scale(amax, a.fp8_max, a.is_power_of_two);
    if (a.amax != nullptr && blockIdx.x == 0 && threadIdx.x == 0) *a.amax = fmaxf(*a.amax, amax);
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    const float inverse = __fdiv_rn(1.0F, scale);
    if (a.row_scale_inv != nullptr) *a.row_scale_inv = inverse;
    if (a.column_scale_inv != nullptr) *a.column_scale_inv = inverse;
  }
  return scale;
}

/// Delayed scaling learns the amax on the way.
__device__ inline void stage_amax(const TensorArgs& a, float amax, float* shared_parts) {
  if (a.scale == nullptr || a.amax == nullptr) return;
  amax = block_max(amax, shared_parts);
  if (threadIdx.x == 0) raise_amax(a.amax, amax);
}

template <QuantFormat F, class H>
__device__ inline uint32_t encode_scaled(const Four<H>& x, float scale) {
  const float v[4] = {__fmul_rn(x[0], scale), __fmul_rn(x[1], scale), __fmul_rn(x[2], scale), __fmul_rn(x[3], scale)};
  return encode4<F>(v);
}

/// 16 elements a thread at a time; is_vector promises aligned pointers.
template <class T, class H, QuantFormat F>
__global__ void __launch_bounds__(kThreads) quantize_cast_kernel(const T* __restrict__ x, TensorArgs a, bool is_vector) {
  auto* parts = shared_array<float>(0, kWarp);
  const float scale = prepare_scale(a, parts);
  const int64_t n = a.rows * a.cols, step = static_cast<int64_t>(gridDim.x) * kThreads * kPerThread;
  float amax = 0;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPerThread; i < n; i += step) {
    const int count = clamp_count(n - i, kPerThread);
    Four<H> v[kPerThread / 4];
    uint32_t codes[kPerThread / 4];
    load_sixteen<H>(x + i, count, is_vector, v);
#pragma unroll
    for (int k = 0; k < kPerThread / 4; ++k) {
      codes[k] = encode_scaled<F>(v[k], scale);
      amax = fmaxf(amax, amax_of(v[k]));
    }
    store_sixteen(a.codes + i, codes, count, is_vector);
  }
  stage_amax(a, amax, parts);
}

/// A thread's part of the block's tile: 4 rows of 16 columns.
struct TilePlace {
  int64_t first_row, first_col, row, col;
  int chunk, quad, rows, cols;  // rows, cols: how many of the part lie in the matrix

  __device__ explicit TilePlace(const TensorArgs& a) {
    const auto across = static_cast<unsigned>((a.cols + kSide - 1) / kSide);  // 32 bits: the division stands before the first load
    first_row = int64_t{blockIdx.x / across} * kSide, first_col = int64_t{blockIdx.x % across} * kSide;
    chunk = static_cast<int>(threadIdx.x) % kChunks, quad = static_cast<int>(threadIdx.x) / kChunks;
    row = first_row + quad * kQuadRows, col = first_col + chunk * kPerThread;
    rows = clamp_count(a.rows - row, kQuadRows), cols = clamp_count(a.cols - col, kPerThread);
  }
};

/// Writes the block's codes to a.transposed. A thread transposes its part as 4x4 bytes and stores words of 4 rows to shared memory; then it
/// writes 16 rows of a column at a time. Chunk q of column c lies at q ^ (c / 16), so that neither way meets a bank twice.
__device__ inline void write_transposed(const TensorArgs& a, const TilePlace& p, const uint32_t (&codes)[kQuadRows][4],
                                        TransposeShared& shared, bool is_column_vector) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const uint32_t in[4] = {codes[0][k], codes[1][k], codes[2][k], codes[3][k]};
    uint32_t out[4];
    transpose_bytes(in, out);
#pragma unroll
    for (int j = 0; j < 4; ++j) shared.words[p.chunk * kPerThread + 4 * k + j][((p.quad / 4) ^ p.chunk) * 4 + p.quad % 4] = out[j];
  }
  __syncthreads();
#pragma unroll
  for (int c = p.quad; c < kSide; c += kThreads / kChunks) {  // now `chunk` is one of 16 rows
    if (p.first_col + c >= a.cols) break;
    const uint4 words = *reinterpret_cast<const uint4*>(&shared.words[c][(p.chunk ^ (c / kPerThread)) * 4]);
    const uint32_t column[4] = {words.x, words.y, words.z, words.w};
    const int64_t start = p.first_row + p.chunk * kPerThread;
    store_sixteen(a.transposed + (p.first_col + c) * a.rows + start, column, clamp_count(a.rows - start, kPerThread), is_column_vector);
  }
}

/// A tile a block.
template <class T, class H, QuantFormat F>
__global__ void __launch_bounds__(kThreads)
    quantize_transpose_kernel(const T* __restrict__ x, TensorArgs a, bool is_row_vector, bool is_column_vector) {
  auto& shared = shared_memory<TransposeShared>();
  const TilePlace p(a);
  Four<H> v[kQuadRows][4];
#pragma unroll
  for (int r = 0; r < kQuadRows; ++r) load_sixteen<H>(x + (p.row + r) * a.cols + p.col, r < p.rows ? p.cols : 0, is_row_vector, v[r]);
  const float scale = prepare_scale(a, shared.parts);
  uint32_t codes[kQuadRows][4];
  float amax = 0;
#pragma unroll
  for (int r = 0; r < kQuadRows; ++r) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      codes[r][k] = encode_scaled<F>(v[r][k], scale);
      amax = fmaxf(amax, amax_of(v[r][k]));
    }
    if (a.codes != nullptr && r < p.rows) store_sixteen(a.codes + (p.row + r) * a.cols + p.col, codes[r], p.cols, is_row_vector);
  }
  write_transposed(a, p, codes, shared, is_column_vector);
  stage_amax(a, amax, shared.parts);
}

/// The transposed copy of codes that their producer has written: a.codes is read.
__global__ void __launch_bounds__(kThreads) transposed_copy_kernel(TensorArgs a, bool is_row_vector, bool is_column_vector) {
  auto& shared = shared_memory<TransposeShared>();
  const TilePlace p(a);
  uint32_t codes[kQuadRows][4];
#pragma unroll
  for (int r = 0; r < kQuadRows; ++r) {
    const int count = r < p.rows ? p.cols : 0;
    const uint8_t* from = a.codes + (p.row + r) * a.cols + p.col;
    if (is_row_vector && count == kPerThread) {
      const uint4 words = *reinterpret_cast<const uint4*>(from);
      codes[r][0] = words.x, codes[r][1] = words.y, codes[r][2] = words.z, codes[r][3] = words.w;
      continue;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      codes[r][k] = 0;
#pragma unroll
      for (int j = 0; j < 4; ++j) codes[r][k] |= 4 * k + j < count ? uint32_t{from[4 * k + j]} << (8 * j) : 0U;
    }
  }
  write_transposed(a, p, codes, shared, is_column_vector);
}

TensorArgs tensor_args(const QuantOutput& to) {
  const QuantTensorView& q = to.q;
  const QuantSpec& s = q.spec;
  const QuantCopy& plain = q.rowwise.empty() ? q.columnwise : q.rowwise;
  return {.rows = q.rows,
          .cols = q.cols,
          .codes = plain.is_transposed ? nullptr : static_cast<uint8_t*>(plain.codes),
          .transposed = q.columnwise.is_transposed ? static_cast<uint8_t*>(q.columnwise.codes) : nullptr,
          .row_scale_inv = static_cast<float*>(q.rowwise.scale_inv),
          .column_scale_inv = static_cast<float*>(q.columnwise.scale_inv),
          .scale = s.scaling == QuantScaling::delayed ? q.scale : nullptr,
          .amax_parts = {},
          .fp8_max = max_of(s.format),
          .is_power_of_two = s.power_of_two_scale,
          .amax = staged_amax(to)};
}

LaunchShape shape_of_tiles(const TensorArgs& a) {
  const int64_t tiles = ceil_div(a.rows, kSide) * ceil_div(a.cols, kSide);
  return {dim3(static_cast<unsigned>(tiles)), dim3(kThreads), sizeof(TransposeShared)};
}
bool has_column_vectors(const TensorArgs& a) { return is_aligned(a.transposed, 16) && a.rows % kPerThread == 0; }

}  // namespace

void launch_quantize_tensor(const QuantizeArgs& args, const LaunchContext& context) {
  TensorArgs a = tensor_args(args.to);
  if (a.scale == nullptr) a.amax_parts = amax_parts(args, context);
  const bool is_aligned_flat = is_aligned(args.x.data, 16) && is_aligned(a.codes, 16);  // null is aligned
  const int64_t blocks = std::clamp<int64_t>(ceil_div(a.rows * a.cols, kThreads * kPerThread), 1, context.multiprocessors * 8);
  const LaunchShape flat{dim3(static_cast<unsigned>(blocks)), dim3(kThreads), kWarp * sizeof(float)};
  with_source(args, [&]<class T, class H>(T*, H*) {
    with_fp8(args.to.q.spec.format, [&]<QuantFormat F>() {
      if (a.transposed == nullptr)
        return launch("quantize_cast", quantize_cast_kernel<T, H, F>, flat, context.stream, args.x.as<T>(), a, is_aligned_flat);
      launch("quantize_transpose", quantize_transpose_kernel<T, H, F>, shape_of_tiles(a), context.stream, args.x.as<T>(), a,
             is_aligned_flat && a.cols % kPerThread == 0, has_column_vectors(a));
    });
  });
}

void launch_transposed_copy(const QuantOutput& to, const LaunchContext& context) {
  const TensorArgs a = tensor_args(to);
  launch("transposed_copy", transposed_copy_kernel, shape_of_tiles(a), context.stream, a,
         is_aligned(a.codes, 16) && a.cols % kPerThread == 0, has_column_vectors(a));
}

}  // namespace mbt::cuda

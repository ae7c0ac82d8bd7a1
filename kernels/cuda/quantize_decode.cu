// From codes and block scales to the bf16 values that a product without FP8 or FP4 units multiplies: quantize_decode, one kernel, 16 columns
// of a row a thread. They lie in one block of a row-wise copy, and under 16 scales of a column-wise one.
#include <algorithm>

#include "kernels/cuda/device/codecs.h"
#include "kernels/cuda/device/four.h"
#include "kernels/cuda/quantize_parts.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256, kPerThread = 16;

enum class Scales : uint8_t { none, f32, e8m0, e4m3 };

struct DecodeArgs {
  const uint8_t* codes;
  const void* scale_inv;
  bool is_transposed;  // codes [cols, rows]
  bool is_vector;      // 16 codes, and 16 values, are aligned
  int64_t rows, cols;
  int block_rows, block_cols;
  int64_t scale_cols;
  Bf16* out;  // [rows, cols]
};

template <Scales kScales>
__device__ inline float scale_at(const void* scales, int64_t i) {
  if constexpr (kScales == Scales::f32) return static_cast<const float*>(scales)[i];
  if constexpr (kScales == Scales::e8m0) return decode_e8m0(static_cast<const uint8_t*>(scales)[i]);
  if constexpr (kScales == Scales::e4m3) return decode_scaled<QuantFormat::e4m3>(static_cast<const uint8_t*>(scales)[i], 1.0F);
  return 1.0F;
}

/// Threads count along rows of the codes' matrix, so that codes are read in order: of transposed ones, neighbouring threads read
/// neighbouring bytes of a column and write whole sectors of their rows.
template <QuantFormat F, Scales kScales>
__global__ void __launch_bounds__(kThreads) quantize_decode_kernel(DecodeArgs a) {
  const int64_t chunks = (a.cols + kPerThread - 1) / kPerThread, count = a.rows * chunks;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    const int64_t row = a.is_transposed ? i % a.rows : i / chunks;
    const int64_t col = (a.is_transposed ? i / a.rows : i % chunks) * kPerThread;
    const int n = clamp_count(a.cols - col, kPerThread);
    const bool is_whole = a.is_vector && n == kPerThread;
    uint4 raw = make_uint4(0, 0, 0, 0);
    if (is_whole && !a.is_transposed) raw = *reinterpret_cast<const uint4*>(a.codes + row * a.cols + col);
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
    const int64_t first_scale = row / a.block_rows * a.scale_cols;
    const float row_scale = scale_at<kScales>(a.scale_inv, first_scale + col / a.block_cols);
    uint32_t values[kPerThread / 2] = {};
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      if (k >= n) continue;
      uint32_t code = words[k / 4] >> (k % 4 * 8) & 0xFFU;
      if (a.is_transposed) code = a.codes[(col + k) * a.rows + row];
      else if (!is_whole) code = a.codes[row * a.cols + col + k];
      const float scale = a.block_cols == 1 ? scale_at<kScales>(a.scale_inv, first_scale + col + k) : row_scale;
      values[k / 2] |= static_cast<uint32_t>(bf16_bits(decode_scaled<F>(code, scale))) << (k % 2 * 16);
    }
    Bf16* out = a.out + row * a.cols + col;
    if (is_whole) {
      reinterpret_cast<uint4*>(out)[0] = make_uint4(values[0], values[1], values[2], values[3]);
      reinterpret_cast<uint4*>(out)[1] = make_uint4(values[4], values[5], values[6], values[7]);
      continue;
    }
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      if (k < n) out[k].bits = static_cast<uint16_t>(values[k / 2] >> (k % 2 * 16));
    }
  }
}

DecodeArgs decode_args(const QuantTensorView& q, bool columnwise, const TensorView& out) {
  const QuantSpec& s = q.spec;
  const QuantCopy& wanted = columnwise ? q.columnwise : q.rowwise;
  const bool is_shared = wanted.empty() && s.columnwise_shares_codes();
  const QuantCopy& copy = is_shared ? (columnwise ? q.rowwise : q.columnwise) : wanted;
  MBT_CHECK(!copy.empty(), "decode: no ", columnwise ? "column-wise" : "row-wise", " copy");
  const int b = static_cast<int>(s.block_size());
  const bool is_vector = q.cols % kPerThread == 0 && is_aligned(copy.codes, 16) && is_aligned(out.data, 16);
  return {.codes = static_cast<const uint8_t*>(copy.codes),
          .scale_inv = copy.scale_inv,
          .is_transposed = copy.is_transposed,
          .is_vector = is_vector,
          .rows = q.rows,
          .cols = q.cols,
          .block_rows = b != 0 && (s.is_2d || columnwise) ? b : 1,
          .block_cols = b != 0 && (s.is_2d || !columnwise) ? b : 1,
          .scale_cols = quant_copy_shape(s, q.rows, q.cols, columnwise).scale_cols,
          .out = out.as<Bf16>()};
}

template <QuantFormat F, Scales kScales>
void launch_kernel(const DecodeArgs& a, const LaunchContext& context) {
  const int64_t threads = a.rows * ceil_div(a.cols, kPerThread);
  const int64_t blocks = std::min<int64_t>(ceil_div(threads, kThreads), context.multiprocessors * 16);
  launch("quantize_decode", quantize_decode_kernel<F, kScales>, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, context.stream, a);
}

template <QuantFormat F>
void launch_fp8(const DecodeArgs& a, QuantScaling scaling, const LaunchContext& context) {
  if (scaling == QuantScaling::blockwise) launch_kernel<F, Scales::f32>(a, context);
  else if (scaling == QuantScaling::mxfp8) launch_kernel<F, Scales::e8m0>(a, context);
  else launch_kernel<F, Scales::none>(a, context);
}

}  // namespace

void launch_decode(const QuantTensorView& q, bool columnwise, TensorView out, const LaunchContext& context) {
  expect_tensor("decode", "out", out, DType::bf16, {q.rows, q.cols});
  const DecodeArgs a = decode_args(q, columnwise, out);
  switch (q.spec.format) {
    case QuantFormat::e4m3: return launch_fp8<QuantFormat::e4m3>(a, q.spec.scaling, context);
    case QuantFormat::e5m2: return launch_fp8<QuantFormat::e5m2>(a, q.spec.scaling, context);
    case QuantFormat::e2m1: return launch_kernel<QuantFormat::e2m1, Scales::e4m3>(a, context);
  }
}

}  // namespace mbt::cuda

// From codes and block scales to the bf16 values that a product without FP8 or FP4 units multiplies: quantize_decode, one kernel, 16
// columns of a row a thread. They lie in one block of a row-wise copy, and under 16 scales of a column-wise one.
#include "kernels/cuda/quantize/quantize_decode.h"

#include <algorithm>

#include "kernels/cuda/device/codecs.h"
#include "kernels/cuda/device/four.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/quantize/quantize_parts.h"
#include "kernels/cuda/runtime/choose.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256, kPerThread = 16;

enum class Scales : uint8_t { none, f32, e8m0, e4m3 };

struct DecodeArgs {
  const uint8_t* codes;
  const void* scale_inv;
  bool is_transposed;      // codes [cols, rows]
  bool is_vector;          // 16 codes, and 16 values, are aligned
  bool has_scale_vectors;  // so are 16 scales
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

/// The scales of 16 columns, one each, from the i-th on, of which n are there.
template <Scales kScales>
__device__ inline void column_scales(const DecodeArgs& a, int64_t i, int n, float (&scales)[kPerThread]) {
  using Stored = std::conditional_t<kScales == Scales::f32, float, uint8_t>;
  const auto* from = static_cast<const Stored*>(a.scale_inv);
  Pack<Stored, kPerThread> stored{};
  if (a.has_scale_vectors && n == kPerThread) {
    stored = Pack<Stored, kPerThread>::at(from, i);
  } else {
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      if (k < n) stored.elements[k] = from[i + k];
    }
  }
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) scales[k] = scale_at<kScales>(stored.elements, k);
}

/// 16 codes of a row, n of which are there, four a word.
template <bool kTransposed>
__device__ inline void load_codes(const DecodeArgs& a, int64_t row, int64_t col, int n, uint32_t (&words)[kPerThread / 4]) {
  if (!kTransposed && a.is_vector && n == kPerThread) {
    const uint4 raw = *reinterpret_cast<const uint4*>(a.codes + row * a.cols + col);
    words[0] = raw.x, words[1] = raw.y, words[2] = raw.z, words[3] = raw.w;
    return;
  }
  const uint8_t* from = kTransposed ? a.codes + col * a.rows + row : a.codes + row * a.cols + col;
  const int64_t step = kTransposed ? a.rows : 1;
  uint8_t codes[kPerThread];  // all under way before the first is used
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) codes[k] = k < n ? from[k * step] : uint8_t{0};
#pragma unroll
  for (int k = 0; k < kPerThread; k += 4)
    words[k / 4] = codes[k] | uint32_t{codes[k + 1]} << 8 | uint32_t{codes[k + 2]} << 16 | uint32_t{codes[k + 3]} << 24;
}

/// Threads count along rows of the codes' matrix, so that codes are read in order: of transposed ones, neighboring threads read
/// neighboring bytes of a column and write whole sectors of their rows. kLines: a scale for each column.
template <QuantFormat F, Scales kScales, bool kTransposed, bool kLines>
__global__ void __launch_bounds__(kThreads) quantize_decode_kernel(DecodeArgs a) {
  using P = Pack<Bf16, kPerThread>;
  const int64_t chunks = (a.cols + kPerThread - 1) / kPerThread, count = a.rows * chunks;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads, across = kTransposed ? a.rows : chunks;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    const int64_t row = kTransposed ? i % across : i / across, col = (kTransposed ? i / across : i % across) * kPerThread;
    const int n = clamp_count(a.cols - col, kPerThread);
    uint32_t words[kPerThread / 4];
    load_codes<kTransposed>(a, row, col, n, words);
    const int64_t first_scale = row / a.block_rows * a.scale_cols;
    float scales[kLines ? kPerThread : 1];
    if constexpr (kLines) column_scales<kScales>(a, first_scale + col, n, scales);
    else scales[0] = scale_at<kScales>(a.scale_inv, first_scale + col / a.block_cols);
    P out;
    out.set_each([&](int k) { return decode_scaled<F>(words[k / 4] >> (k % 4 * 8) & 0xFFU, scales[kLines ? k : 0]); });
    if (a.is_vector && n == kPerThread) {
      out.put(a.out, row * a.cols + col);
      continue;
    }
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      if (k < n) a.out[row * a.cols + col + k] = out.elements[k];
    }
  }
}

DecodeArgs decode_args(const QuantTensorView& q, bool columnwise, const TensorView& out) {
  const QuantSpec& s = q.spec;
  const QuantCopy& wanted = columnwise ? q.columnwise : q.rowwise;
  const bool is_shared = wanted.empty() && s.columnwise_shares_codes();
  const QuantCopy& copy = is_shared ? (columnwise ? q.rowwise : q.columnwise) : wanted;
  MBT_CHECK(!copy.empty(), "decode: no {} copy", columnwise ? "column-wise" : "row-wise");
  const int b = static_cast<int>(s.block_size());
  const int64_t scale_cols = quant_copy_shape(s, q.rows, q.cols, columnwise).scale_cols;
  const bool is_vector = q.cols % kPerThread == 0 && is_aligned(copy.codes, 16) && is_aligned(out.data, 16);
  return {.codes = static_cast<const uint8_t*>(copy.codes),
          .scale_inv = copy.scale_inv,
          .is_transposed = copy.is_transposed,
          .is_vector = is_vector,
          .has_scale_vectors = scale_cols % kPerThread == 0 && is_aligned(copy.scale_inv, 16),
          .rows = q.rows,
          .cols = q.cols,
          .block_rows = b != 0 && (s.is_2d || columnwise) ? b : 1,
          .block_cols = b != 0 && (s.is_2d || !columnwise) ? b : 1,
          .scale_cols = scale_cols,
          .out = out.as<Bf16>()};
}

/// Of a copy under such a scaling: which scales lie beside its codes.
Scales scales_of(QuantScaling scaling) {
  switch (scaling) {
    case QuantScaling::blockwise: return Scales::f32;
    case QuantScaling::mxfp8: return Scales::e8m0;
    case QuantScaling::nvfp4: return Scales::e4m3;
    case QuantScaling::delayed:
    case QuantScaling::tensorwise: break;
  }
  return Scales::none;
}

using Kernel = void (*)(DecodeArgs);

/// Of FP8, any scales but nvfp4's; of nvfp4, which has no transposed codes, its own.
template <QuantFormat F>
Kernel kernel_of(Scales scales, bool is_transposed, bool has_lines) {
  if constexpr (!is_fp8(F)) {
    return has_lines ? quantize_decode_kernel<F, Scales::e4m3, false, true> : quantize_decode_kernel<F, Scales::e4m3, false, false>;
  } else {
    return choose(
        [&]<Scales kScales, bool kTransposed, bool kLines>(Is<kScales>, Is<kTransposed>, Is<kLines>) -> Kernel {
          return quantize_decode_kernel < F, kScales, kTransposed, kLines && kScales != Scales::none > ;
        },
        OneOf<Scales::f32, Scales::e8m0, Scales::none>{scales}, flag(is_transposed), flag(has_lines));
  }
}

}  // namespace

void launch_decode(const QuantTensorView& q, bool columnwise, TensorView out, const LaunchContext& context) {
  expect_tensor("decode", "out", out, DType::bf16, {q.rows, q.cols});
  const DecodeArgs a = decode_args(q, columnwise, out);
  const Scales scales = scales_of(q.spec.scaling);
  const int64_t threads = a.rows * ceil_div(a.cols, kPerThread);
  const int64_t blocks = std::min<int64_t>(ceil_div(threads, kThreads), context.multiprocessors * 16);
  const Kernel kernel =
      with_format(q.spec.format, [&]<QuantFormat F>() { return kernel_of<F>(scales, a.is_transposed, a.block_cols == 1); });
  launch("quantize_decode", kernel, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, context.stream, a);
}

}  // namespace mbt::cuda

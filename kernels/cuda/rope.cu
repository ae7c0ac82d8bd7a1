// rope: rotates pairs (i, i + R/2) of each query and key head in place. A thread has the same pack of pairs in every blockDim.y-th head of
// a token, so that it reads its cosines and sines once; blocks hold several tokens where heads are few. Packs are 16 bytes where both
// halves of every head are aligned, else one element. Where qkv is quantized on the way (device/output_quantizer.h), threads also read what
// does not turn, and blocks take several tokens each.
#include <algorithm>

#include "kernels/cuda/device/output_quantizer.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/runtime/choose.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kResidentThreads = 2048;  // of a multiprocessor

template <class T>
struct Rope {
  T* qkv;                    // [rows, cols]
  const float* cos_sin;      // [P, 2 * half]
  const int32_t* positions;  // [rows] or null
  int64_t table_rows;        // P
  int64_t rows, cols, width, first_position;
  uint32_t sequence_length;
  int heads, half;  // heads: those that turn
  float sign;
};

/// Token n's row of the table. A position outside of it is reported, and taken as 0.
template <class T>
__device__ int64_t position_of(const Rope<T>& a, int64_t n, Fault* fault) {
  if (a.positions == nullptr) return a.first_position + static_cast<uint32_t>(n) % a.sequence_length;
  const int32_t position = a.positions[n];
  if (position >= 0 && position < a.table_rows) return position;
  if (threadIdx.x == 0 && threadIdx.y == 0) report(fault, Fault::position, n, position, a.table_rows);
  return 0;
}

/// The thread's pairs of token n.
template <class T, bool kWide, bool kFused>
__device__ void turn_token(const Rope<T>& a, int64_t n, OutputQuantizer<kFused>& quantizer, Fault* fault) {
  using P = RowPack<T, kWide>;
  using Table = Pack<float, P::kSize>;
  const float* table = a.cos_sin + position_of(a, n, fault) * 2 * a.half;
  for (int i = static_cast<int>(threadIdx.x) * P::kSize; i < a.half; i += static_cast<int>(blockDim.x) * P::kSize) {
    const Table cosine = Table::at(table, i), sine = Table::at(table, a.half + i);
    for (int h = static_cast<int>(threadIdx.y); h < a.heads; h += static_cast<int>(blockDim.y)) {
      T* head = a.qkv + n * a.cols + h * a.width;
      P low = P::at(head, i), high = P::at(head, a.half + i);
      float turned_low[P::kSize], turned_high[P::kSize];
#pragma unroll
      for (int k = 0; k < P::kSize; ++k) {
        const float x = low[k], y = high[k], c = cosine[k], s = a.sign * sine[k];
        turned_low[k] = x * c - y * s;
        turned_high[k] = y * c + x * s;
      }
      low.set_all(turned_low);
      high.set_all(turned_high);
      low.put(head, i);
      high.put(head, a.half + i);
      quantizer.add(low, n * a.cols + h * a.width + i);
      quantizer.add(high, n * a.cols + h * a.width + a.half + i);
    }
  }
}

/// Token n's elements that do not turn: the ends of heads, and the value heads.
template <class T, bool kWide, bool kFused>
__device__ void add_rest(const Rope<T>& a, int64_t n, OutputQuantizer<kFused>& quantizer) {
  using P = RowPack<T, kWide>;
  for (int h = static_cast<int>(threadIdx.y); h * a.width < a.cols; h += static_cast<int>(blockDim.y)) {
    const int64_t first = (h < a.heads ? 2 * a.half : 0) + static_cast<int64_t>(threadIdx.x) * P::kSize;
    for (int64_t i = first; i < a.width; i += static_cast<int64_t>(blockDim.x) * P::kSize) {
      const int64_t at = n * a.cols + h * a.width + i;
      quantizer.add(P::at(a.qkv, at), at);
    }
  }
}

template <class T, bool kWide, bool kFused>
__global__ void __launch_bounds__(kThreads) rope_kernel(Rope<T> a, FusedQuant quant, Fault* fault) {
  OutputQuantizer<kFused> quantizer(quant);
  int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.z + threadIdx.z;
  if constexpr (kFused) {
    for (; n < a.rows; n += static_cast<int64_t>(gridDim.x) * blockDim.z) {
      turn_token<T, kWide>(a, n, quantizer, fault);
      add_rest<T, kWide>(a, n, quantizer);
    }
    quantizer.finish(shared_array<float>(0, 1));
  } else {
    if (n < a.rows) turn_token<T, kWide>(a, n, quantizer, fault);
  }
}

/// The one instance that runs. f32 is never fused (QuantizedOutput).
template <class T>
auto kernel_of(bool is_wide, bool is_fused) {
  return choose(
      [&]<bool kWide, bool kFused>(Is<kWide>, Is<kFused>) -> void (*)(Rope<T>, FusedQuant, Fault*) {
        return rope_kernel < T, kWide, kFused && sizeof(T)<sizeof(float)>;
      },
      flag(is_wide), flag(is_fused));
}

/// Threads for the packs of half a head, for heads, and for tokens.
dim3 block_of(int heads, int packs) {
  const int x = std::clamp(packs, 1, kThreads);
  const int turns = (heads * x + kThreads - 1) / kThreads;  // of a thread, over heads
  const int y = std::max(1, std::min((heads + turns - 1) / turns, kThreads / x));
  const int z = std::clamp(kThreads / 2 / (x * y), 1, 64);
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
}

}  // namespace

void launch_rope(const RopeArgs& args, const LaunchContext& context) {
  MBT_CHECK(args.qkv.rows() <= INT32_MAX && args.sequence_length <= INT32_MAX, "{}: {}, expected fewer than 2^31 rows", op_name(args),
            args.qkv.str());
  const int half = static_cast<int>(args.cos_sin.cols() / 2);
  QuantizedOutput qkv(args.qkv, args.quantized, context);
  if (half == 0) return launch_quantize_output(args.qkv, args.quantized, context);
  with_act(op_name(args), args.qkv.dtype, [&]<class T>(T*) {
    const Rope<T> a{.qkv = args.qkv.as<T>(),
                    .cos_sin = args.cos_sin.as<float>(),
                    .positions = args.positions.as<int32_t>(),
                    .table_rows = args.cos_sin.rows(),
                    .rows = args.qkv.rows(),
                    .cols = args.qkv.cols(),
                    .width = args.head_dim(),
                    .first_position = args.first_position,
                    .sequence_length = static_cast<uint32_t>(args.sequence_length),
                    .heads = static_cast<int>(args.num_heads + args.num_kv_heads),
                    .half = half,
                    .sign = args.inverse ? -1.0F : 1.0F};
    const bool is_wide = rows_are_aligned<T>(a.width, {a.qkv, a.cos_sin}) && rows_are_aligned<T>(half, {});
    const int size = is_wide ? RowPack<T, true>::kSize : 1;
    const dim3 block = block_of(a.heads, (half + size - 1) / size);
    int64_t blocks = (a.rows + block.z - 1) / block.z;
    if (qkv.is_fused())
      blocks = std::min<int64_t>(blocks, int64_t{kResidentThreads} / (block.x * block.y * block.z) * context.multiprocessors);
    launch("rope", kernel_of<T>(is_wide, qkv.is_fused()), {dim3(static_cast<unsigned>(blocks)), block, qkv.is_fused() ? sizeof(float) : 0},
           context.stream, a, qkv.quant(blocks), context.fault);
  });
  qkv.finish();
}

}  // namespace mbt::cuda

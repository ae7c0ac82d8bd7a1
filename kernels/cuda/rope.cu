// rope: rotates pairs (i, i + R/2) of each query and key head in place. A thread has the same pack of pairs in every blockDim.y-th head of
// a token, so that it reads its cosines and sines once; blocks hold several tokens where heads are few. Packs are 16 bytes where both
// halves of every head are aligned, else one element.
#include <algorithm>

#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
struct Rope {
  T* qkv;                // [rows, cols]
  const float* cos_sin;  // [P, 2 * half]
  int64_t rows, cols, width, first_position;
  uint32_t sequence_length;
  int heads, half;  // heads: those that turn
  float sign;
};

template <class T, bool kWide>
__global__ void __launch_bounds__(kThreads) rope_kernel(Rope<T> a) {
  using P = RowPack<T, kWide>;
  using Table = Pack<float, P::kSize>;
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.z + threadIdx.z;
  if (n >= a.rows) return;
  const float* table = a.cos_sin + (a.first_position + static_cast<uint32_t>(n) % a.sequence_length) * 2 * a.half;
  for (int i = static_cast<int>(threadIdx.x) * P::kSize; i < a.half; i += static_cast<int>(blockDim.x) * P::kSize) {
    const Table cosine = Table::at(table, i), sine = Table::at(table, a.half + i);
    for (int h = static_cast<int>(threadIdx.y); h < a.heads; h += static_cast<int>(blockDim.y)) {
      T* head = a.qkv + n * a.cols + h * a.width;
      P low = P::at(head, i), high = P::at(head, a.half + i);
#pragma unroll
      for (int k = 0; k < P::kSize; ++k) {
        const float x = low[k], y = high[k], c = cosine[k], s = a.sign * sine[k];
        low.set(k, x * c - y * s);
        high.set(k, y * c + x * s);
      }
      low.put(head, i);
      high.put(head, a.half + i);
    }
  }
}

template <class T, bool kWide>
void launch_packed(const Rope<T>& a, cudaStream_t stream) {
  constexpr int kSize = RowPack<T, kWide>::kSize;
  const int x = std::clamp((a.half + kSize - 1) / kSize, 1, kThreads);
  const int turns = (a.heads * x + kThreads - 1) / kThreads;  // of a thread, over heads
  const int y = std::max(1, std::min((a.heads + turns - 1) / turns, kThreads / x));
  const int z = std::clamp(kThreads / 2 / (x * y), 1, 64);
  launch("rope", rope_kernel<T, kWide>,
         {dim3(static_cast<unsigned>((a.rows + z - 1) / z)),
          dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z))},
         stream, a);
}

}  // namespace

void launch_rope(const RopeArgs& args, const LaunchContext& context) {
  MBT_CHECK(args.qkv.rows() <= INT32_MAX && args.sequence_length <= INT32_MAX, "rope: ", args.qkv.str(), ", expected fewer than 2^31 rows");
  const int half = static_cast<int>(args.cos_sin.cols() / 2);
  if (half == 0) return;
  with_act("rope", args.qkv.dtype, [&]<class T>(T*) {
    const Rope<T> a{.qkv = args.qkv.as<T>(),
                    .cos_sin = args.cos_sin.as<float>(),
                    .rows = args.qkv.rows(),
                    .cols = args.qkv.cols(),
                    .width = args.head_dim(),
                    .first_position = args.first_position,
                    .sequence_length = static_cast<uint32_t>(args.sequence_length),
                    .heads = static_cast<int>(args.num_heads + args.num_kv_heads),
                    .half = half,
                    .sign = args.inverse ? -1.0F : 1.0F};
    const bool is_wide = rows_are_aligned<T>(a.width, {a.qkv, a.cos_sin}) && rows_are_aligned<T>(half, {});
    is_wide ? launch_packed<T, true>(a, context.stream) : launch_packed<T, false>(a, context.stream);
  });
}

}  // namespace mbt::cuda

// qk_norm: RMSNorm of each query and key head over its width D. All heads of all tokens lie one behind the other, [N*(H+2K), D].
//   qk_norm_fwd_kernel, qk_norm_bwd_kernel     heads of up to 32 aligned packs: a power of two of lanes a head, a pack each; forward copies
//                                              the value heads on the way.
//   qk_norm_*_general_kernel                   any other width and alignment: a warp a head, which passes over it twice.
// Weight gradients in two levels: partial rows of blocks (general: of warps), [d_q_weight, d_k_weight], which add_partials then adds up. In
// a block, lanes keep their columns' sums in registers over all heads that they meet, and the block adds them up in order in shared memory.
// Where d_qkv is quantized on the way (device/output_quantizer.h), backward reads the value heads too.
#include <algorithm>

#include "kernels/cuda/device/output_quantizer.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/runtime/choose.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kBlocksPerMultiprocessor = 4;  // of backward: each leaves a partial row

struct Heads {
  int64_t tokens;
  int width, query, key, all;  // values of a head; heads of each kind, and with the value heads, of a token
};

/// Where a head stands: `index` counts all heads of all tokens.
struct Head {
  int64_t token;
  int number;
  __device__ Head(int64_t index, const Heads& heads)
      : token(index <= UINT32_MAX ? static_cast<uint32_t>(index) / static_cast<uint32_t>(heads.all) : index / heads.all),
        number(static_cast<int>(index - token * heads.all)) {}
  __device__ bool is_query(const Heads& heads) const { return number < heads.query; }
  __device__ bool is_normed(const Heads& heads) const { return number < heads.query + heads.key; }
  __device__ int64_t rstd_index(const Heads& heads) const { return token * (heads.query + heads.key) + number; }
};

template <class T>
struct QkNormFwd {
  const T* qkv;                  // [tokens, all * width]
  const T *q_weight, *k_weight;  // [width]
  T* out;                        // as qkv
  float* rstd;                   // [tokens, query + key]
  Heads heads;
  float eps;
};

template <class T>
struct QkNormBwd {
  T* d_qkv;                      // [tokens, all * width], in place
  const T* qkv;                  // as d_qkv
  const T *q_weight, *k_weight;  // [width]
  const float* rstd;             // [tokens, query + key]
  float* partials;               // [partial rows, 2, width]
  Heads heads;
};

/// The sum over the lanes of a head: kLanes neighbors. All lanes of the warp take part.
template <int kLanes>
__device__ float head_sum(float x) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

// -- heads of aligned packs --------------------------------------------------------------------------------------------------------------

template <class T, int kLanes>
__global__ void __launch_bounds__(kThreads) qk_norm_fwd_kernel(QkNormFwd<T> a) {
  using P = RowPack<T, true>;
  const int64_t index = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes;
  const int c = static_cast<int>(threadIdx.x) % kLanes * P::kSize;
  const bool is_there = index < a.heads.tokens * a.heads.all && c < a.heads.width;
  const Head head(index, a.heads);
  P x = P::at_or_zero(is_there, a.qkv, index * a.heads.width + c);
  float sum = 0;
#pragma unroll
  for (int k = 0; k < P::kSize; ++k) sum += x[k] * x[k];
  const float rstd = 1.0F / sqrtf(head_sum<kLanes>(sum) / static_cast<float>(a.heads.width) + a.eps);
  if (!is_there) return;
  if (head.is_normed(a.heads)) {
    if (c == 0) a.rstd[head.rstd_index(a.heads)] = rstd;
    const P weight = P::at(head.is_query(a.heads) ? a.q_weight : a.k_weight, c);
    x.set_each([&](int k) { return x[k] * rstd * weight[k]; });
  }
  x.put(a.out, index * a.heads.width + c);
}

template <class T, int kLanes, bool kFused>
__global__ void __launch_bounds__(kThreads) qk_norm_bwd_kernel(QkNormBwd<T> a, FusedQuant quant) {
  using P = RowPack<T, true>;
  constexpr int kGroups = kThreads / kLanes;  // heads at once
  float* shared = shared_array<float>(0, kThreads * 2 * P::kSize);
  OutputQuantizer<kFused> quantizer(quant);
  const int group = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes, c = lane * P::kSize;
  const int64_t count = a.heads.tokens * a.heads.all, step = static_cast<int64_t>(gridDim.x) * kGroups;
  const P q_weight = P::at_or_zero(c < a.heads.width, a.q_weight, c), k_weight = P::at_or_zero(c < a.heads.width, a.k_weight, c);
  float sums[2][P::kSize] = {};
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kGroups; first < count; first += step) {
    const int64_t index = first + group;
    const Head head(index, a.heads);
    const bool is_there = index < count && c < a.heads.width && head.is_normed(a.heads), is_query = head.is_query(a.heads);
    const float rstd = is_there ? a.rstd[head.rstd_index(a.heads)] : 0.0F;
    const P x = P::at_or_zero(is_there, a.qkv, index * a.heads.width + c);
    P d = P::at_or_zero(is_there, a.d_qkv, index * a.heads.width + c);
    float dot = 0;
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) {
      const float x_hat = x[k] * rstd, d_weight = d[k] * x_hat;
      dot += d_weight * (is_query ? q_weight[k] : k_weight[k]);
      sums[0][k] += is_query ? d_weight : 0.0F;
      sums[1][k] += is_query ? 0.0F : d_weight;
    }
    dot = head_sum<kLanes>(dot) / static_cast<float>(a.heads.width);
    d.set_each([&](int k) { return rstd * (d[k] * (is_query ? q_weight[k] : k_weight[k]) - x[k] * rstd * dot); });
    if (is_there) d.put(a.d_qkv, index * a.heads.width + c);
    if constexpr (kFused) {
      const int64_t at = index * a.heads.width + c;
      if (index < count && c < a.heads.width) quantizer.add(is_there ? d : P::at(a.d_qkv, at), at);  // a value head is as it was
    }
  }
#pragma unroll
  for (int k = 0; k < P::kSize; ++k) {  // [group][query, key][k][lane]: lanes side by side
    shared[((group * 2 + 0) * P::kSize + k) * kLanes + lane] = sums[0][k];
    shared[((group * 2 + 1) * P::kSize + k) * kLanes + lane] = sums[1][k];
  }
  __syncthreads();
  constexpr int kSums = 2 * P::kSize * kLanes;
  for (int i = static_cast<int>(threadIdx.x); i < kSums; i += kThreads) {
    float sum = 0;
    for (int g = 0; g < kGroups; ++g) sum += shared[g * kSums + i];
    const int column = i % kLanes * P::kSize + i / kLanes % P::kSize;
    if (column < a.heads.width) a.partials[(static_cast<int64_t>(blockIdx.x) * 2 + i / (P::kSize * kLanes)) * a.heads.width + column] = sum;
  }
  quantizer.finish(shared);
}

// -- any heads ---------------------------------------------------------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(kThreads) qk_norm_fwd_general_kernel(QkNormFwd<T> a) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.y;
  if (index >= a.heads.tokens * a.heads.all) return;
  const Head head(index, a.heads);
  const T* x = a.qkv + index * a.heads.width;
  T* y = a.out + index * a.heads.width;
  if (!head.is_normed(a.heads)) {
    for (int c = lane; c < a.heads.width; c += kWarp) y[c] = x[c];
    return;
  }
  float sum = 0;
  for (int c = lane; c < a.heads.width; c += kWarp) sum += load(x, c) * load(x, c);
  const float rstd = 1.0F / sqrtf(warp_sum(sum) / static_cast<float>(a.heads.width) + a.eps);
  if (lane == 0) a.rstd[head.rstd_index(a.heads)] = rstd;
  const T* weight = head.is_query(a.heads) ? a.q_weight : a.k_weight;
  for (int c = lane; c < a.heads.width; c += kWarp) store(y, c, load(x, c) * rstd * load(weight, c));
}

template <class T, bool kFused>
__global__ void __launch_bounds__(kThreads) qk_norm_bwd_general_kernel(QkNormBwd<T> a, FusedQuant quant) {
  OutputQuantizer<kFused> quantizer(quant);
  const auto add = [&](const T* d, int64_t index, int c) {
    if constexpr (kFused) quantizer.add(Pack<T, 1>::at(d, c), index * a.heads.width + c);
  };
  const int lane = static_cast<int>(threadIdx.x), width = a.heads.width;
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.y, warps = static_cast<int64_t>(gridDim.x) * kWarps;
  float* partial = a.partials + warp * 2 * width;
  for (int c = lane; c < width; c += kWarp) partial[c] = 0.0F, partial[width + c] = 0.0F;
  for (int64_t index = warp; index < a.heads.tokens * a.heads.all; index += warps) {
    const Head head(index, a.heads);
    if (!head.is_normed(a.heads)) {
      for (int c = lane; kFused && c < width; c += kWarp) add(a.d_qkv + index * width, index, c);
      continue;
    }
    const bool is_query = head.is_query(a.heads);
    const T *x = a.qkv + index * width, *weight = is_query ? a.q_weight : a.k_weight;
    T* d = a.d_qkv + index * width;
    float* d_weight = is_query ? partial : partial + width;
    const float rstd = a.rstd[head.rstd_index(a.heads)];
    float dot = 0;
    for (int c = lane; c < width; c += kWarp) {
      const float x_hat = load(x, c) * rstd;
      dot += load(d, c) * load(weight, c) * x_hat;
      d_weight[c] += load(d, c) * x_hat;
    }
    dot = warp_sum(dot) / static_cast<float>(width);
    for (int c = lane; c < width; c += kWarp) {
      store(d, c, rstd * (load(d, c) * load(weight, c) - load(x, c) * rstd * dot));
      add(d, index, c);
    }
  }
  if constexpr (kFused) quantizer.finish(shared_array<float>(0, 1));
}

// -- launchers ---------------------------------------------------------------------------------------------------------------------------

Heads heads_of(const ConstTensorView& qkv, int64_t width, int64_t query, int64_t key) {
  return {qkv.rows(), static_cast<int>(width), static_cast<int>(query), static_cast<int>(key), static_cast<int>(query + 2 * key)};
}

/// How many lanes share a head; 0: heads of this width and alignment take the general kernel.
template <class T>
int lanes_of(int width, std::initializer_list<const void*> tensors) {
  const int packs = width / RowPack<T, true>::kSize;
  if (!rows_are_aligned<T>(width, tensors) || packs > kWarp) return 0;
  return packs > 16 ? 32 : packs > 8 ? 16 : packs > 4 ? 8 : 4;
}
/// Heads of a block at once.
int heads_at_once(int lanes) { return lanes == 0 ? kWarps : kThreads / lanes; }
dim3 block_of(int lanes) { return lanes == 0 ? dim3(kWarp, kWarps) : dim3(kThreads); }

using Lanes = OneOf<4, 8, 16, 32, 0>;

// The one instance that runs. f32 is never fused (QuantizedOutput).
template <class T>
auto fwd_kernel_of(int lanes) {
  return choose(
      [&]<int kLanes>(Is<kLanes>) -> void (*)(QkNormFwd<T>) {
        if constexpr (kLanes == 0) return qk_norm_fwd_general_kernel<T>;
        else return qk_norm_fwd_kernel<T, kLanes>;
      },
      Lanes{lanes});
}
template <class T>
auto bwd_kernel_of(int lanes, bool is_fused) {
  return choose(
      [&]<int kLanes, bool kFusedWanted>(Is<kLanes>, Is<kFusedWanted>) -> void (*)(QkNormBwd<T>, FusedQuant) {
        constexpr bool kFused = kFusedWanted && sizeof(T) < sizeof(float);
        if constexpr (kLanes == 0) return qk_norm_bwd_general_kernel<T, kFused>;
        else return qk_norm_bwd_kernel<T, kLanes, kFused>;
      },
      Lanes{lanes}, flag(is_fused));
}

}  // namespace

void launch_qk_norm_fwd(const QkNormFwdArgs& args, const LaunchContext& context) {
  with_act(op_name(args), args.qkv.dtype, [&]<class T>(T*) {
    const Heads heads = heads_of(args.qkv, args.q_weight.cols(), args.num_heads, args.num_kv_heads);
    const QkNormFwd<T> a{args.qkv.as<T>(), args.q_weight.as<T>(), args.k_weight.as<T>(), args.qkv_out.as<T>(), args.rstd.as<float>(), heads,
                         args.eps};
    const int lanes = lanes_of<T>(heads.width, {a.qkv, a.q_weight, a.k_weight, a.out}), at_once = heads_at_once(lanes);
    const int64_t blocks = (heads.tokens * heads.all + at_once - 1) / at_once;
    launch(lanes == 0 ? "qk_norm_fwd_general" : "qk_norm_fwd", fwd_kernel_of<T>(lanes),
           {dim3(static_cast<unsigned>(blocks)), block_of(lanes)}, context.stream, a);
  });
}

void launch_qk_norm_bwd(const QkNormBwdArgs& args, const LaunchContext& context) {
  QuantizedOutput d_qkv(args.d_qkv, args.quantized, context);
  if (args.qkv.size() == 0) return d_qkv.finish();
  with_act(op_name(args), args.qkv.dtype, [&]<class T>(T*) {
    const Heads heads = heads_of(args.qkv, args.q_weight.cols(), args.num_heads, args.num_kv_heads);
    QkNormBwd<T> a{
        args.d_qkv.as<T>(), args.qkv.as<T>(), args.q_weight.as<T>(), args.k_weight.as<T>(), args.rstd.as<float>(), nullptr, heads};
    const int lanes = lanes_of<T>(heads.width, {a.d_qkv, a.qkv, a.q_weight, a.k_weight});
    const int64_t count = heads.tokens * heads.all, width = heads.width, rows_of_block = int64_t{4} * heads_at_once(lanes);
    const int64_t blocks =
        std::min((count + rows_of_block - 1) / rows_of_block, int64_t{kBlocksPerMultiprocessor} * context.multiprocessors);
    const int64_t partial_rows = lanes == 0 ? blocks * kWarps : blocks;
    a.partials = context.scratch.get<float>(static_cast<size_t>(partial_rows * 2 * width + blocks));
    const size_t shared_floats = lanes == 0 ? (d_qkv.is_fused() ? 1 : 0) : kThreads * 2 * RowPack<T, true>::kSize;
    launch(lanes == 0 ? "qk_norm_bwd_general" : "qk_norm_bwd", bwd_kernel_of<T>(lanes, d_qkv.is_fused()),
           {dim3(static_cast<unsigned>(blocks)), block_of(lanes), sizeof(float) * shared_floats}, context.stream, a,
           d_qkv.quant(blocks, a.partials + partial_rows * 2 * width));
    launch_add_partials(a.partials, partial_rows, 2 * width, width, args.d_q_weight.as<float>(), context);
    launch_add_partials(a.partials + width, partial_rows, 2 * width, width, args.d_k_weight.as<float>(), context);
  });
  d_qkv.finish();
}

}  // namespace mbt::cuda

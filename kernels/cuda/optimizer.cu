// The optimizer step: sums over fixed chunks in fp64 (grad_norm, sum: a block a chunk, then one block over the chunks in order),
// clip_scale, decide_step, and adamw, a grid-stride pass four elements at a time (16 bytes of fp32), or one by one where the tensors are
// not aligned.
#include <algorithm>

#include "kernels/cuda/device/element.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/runtime/choose.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256, kFinalThreads = 1024;
constexpr int64_t kChunk = 16384;  // elements of a partial sum
constexpr int kUnroll = 4;

bool is_aligned(const void* p, size_t bytes = 16) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

// -- sums --------------------------------------------------------------------------------------------------------------------------------

struct Identity {
  __device__ double operator()(float x) const { return static_cast<double>(x); }
};
struct SquareOfScaled {
  double scale;
  __device__ double operator()(float x) const {
    const double scaled = static_cast<double>(x) * scale;
    return scaled * scaled;
  }
};

/// parts[block] = the sum of term(x) over the block's chunk.
template <class Term>
__global__ void __launch_bounds__(kThreads)
    chunk_sum_kernel(const float* __restrict__ x, int64_t n, bool is_vector, Term term, double* __restrict__ parts) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kChunk, last = min(first + kChunk, n);
  double total = 0;
  if (is_vector && last - first == kChunk) {
    constexpr int kStep = kThreads * 4;
#pragma unroll kUnroll
    for (int i = static_cast<int>(threadIdx.x) * 4; i < kChunk; i += kStep) {
      const Vector<float> v = Vector<float>::at(x, first + i);
#pragma unroll
      for (int k = 0; k < 4; ++k) total += term(v.values[k]);
    }
  } else {
    for (int64_t i = first + threadIdx.x; i < last; i += kThreads) total += term(x[i]);
  }
  total = block_sum(total, shared_array<double>(0, kWarp));
  if (threadIdx.x == 0) parts[blockIdx.x] = total;
}

/// Of one block: out[0] = (accumulate ? out[0] : 0) + sum of the parts; non_finite[0] = (accumulate ? non_finite[0] : 0) or whether that
/// sum is NaN or infinite, which squares of finite fp32 values cannot make it.
__global__ void __launch_bounds__(kFinalThreads)
    final_sum_kernel(const double* __restrict__ parts, int64_t count, double* out, bool accumulate, int32_t* non_finite) {
  double total = 0;
  for (int64_t i = threadIdx.x; i < count; i += kFinalThreads) total += parts[i];
  total = block_sum(total, shared_array<double>(0, kWarp));
  if (threadIdx.x != 0) return;
  *out = accumulate ? *out + total : total;
  if (non_finite == nullptr) return;
  const int32_t found = isfinite(total) ? 0 : 1;
  *non_finite = accumulate ? *non_finite | found : found;
}

template <class Term>
void launch_sum_of(const ConstTensorView& x, Term term, double* out, bool accumulate, int32_t* non_finite, const LaunchContext& context) {
  const int64_t n = x.size(), chunks = (n + kChunk - 1) / kChunk;
  auto* parts = context.scratch.get<double>(static_cast<size_t>(std::max<int64_t>(chunks, 1)));
  launch("chunk_sum", chunk_sum_kernel<Term>, {dim3(static_cast<unsigned>(chunks)), dim3(kThreads), kWarp * sizeof(double)}, context.stream,
         x.as<float>(), n, is_aligned(x.data), term, parts);
  launch("final_sum", final_sum_kernel, {dim3(1), dim3(kFinalThreads), kWarp * sizeof(double)}, context.stream, parts, chunks, out,
         accumulate, non_finite);
}

__global__ void clip_scale_kernel(const double* squared_norm, double max_norm, double inverse_scale, float* scale) {
  const double coefficient = max_norm / (sqrt(*squared_norm) + 1e-6);
  const bool clips = max_norm > 0 && coefficient < 1.0;
  *scale = static_cast<float>((clips ? coefficient : 1.0) * inverse_scale);
}

__global__ void decide_step_kernel(const double* squared_norm, const int32_t* non_finite, const double* loss_sum, bool skip_non_finite,
                                   bool skip_non_finite_loss, double max_norm, int32_t* skip, double* report) {
  const double loss = loss_sum == nullptr ? 0.0 : *loss_sum;
  const bool skips = (skip_non_finite && *non_finite != 0) || sqrt(*squared_norm) > max_norm || (skip_non_finite_loss && !isfinite(loss));
  *skip = skips ? 1 : 0;
  report[0] = loss;
  report[1] = *squared_norm;
  report[2] = *non_finite;
  report[3] = skips ? 1.0 : 0.0;
}

// -- AdamW -------------------------------------------------------------------------------------------------------------------------------

struct NoParam {};

/// M, V: element types of the moments.
template <class M, class V>
struct AdamwState {
  float* master;
  M* exp_avg;
  V* exp_avg_sq;
  const float* grad;
  const float* grad_scale;
  const int32_t* skip;  // null: never
  int64_t n;
  float beta1, beta2, rest1, rest2, eps;
  float step;                 // lr / bias_correction1
  float inverse_correction2;  // 1 / bias_correction2
  float keep;                 // 1 - lr * weight_decay, or 1
  float l2;                   // weight_decay, or 0
};

template <class M, class V>
__device__ inline void update(const AdamwState<M, V>& a, float grad_scale, float grad, float& w, float& m, float& v) {
  const float g = grad * grad_scale + a.l2 * w;
  m = a.beta1 * m + a.rest1 * g;
  v = a.beta2 * v + a.rest2 * (g * g);
  w = w * a.keep - a.step * (m / (sqrtf(v * a.inverse_correction2) + a.eps));
}

/// Four elements from x + i on, or to there.
template <class T>
__device__ inline void get_four(const T* x, int64_t i, float (&values)[4]) {
  const Pack<T, 4> pack = Pack<T, 4>::at(x, i);
#pragma unroll
  for (int k = 0; k < 4; ++k) values[k] = pack[k];
}
template <class T>
__device__ inline void put_four(T* x, int64_t i, const float (&values)[4]) {
  Pack<T, 4> pack;
  pack.set_all(values);
  pack.put(x, i);
}
__device__ inline void put_four(NoParam*, int64_t, const float (&)[4]) {}

template <class P, class M, class V>
__global__ void __launch_bounds__(kThreads) adamw_kernel(AdamwState<M, V> a, P* __restrict__ param, bool is_vector) {
  if (a.skip != nullptr && *a.skip != 0) return;
  const float grad_scale = *a.grad_scale;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, threads = static_cast<int64_t>(gridDim.x) * kThreads;
  const int64_t vectors = is_vector ? a.n / 4 : 0;
#pragma unroll 2
  for (int64_t i = thread; i < vectors; i += threads) {
    float w[4], m[4], v[4], g[4];
    get_four(a.master, 4 * i, w);
    get_four(a.exp_avg, 4 * i, m);
    get_four(a.exp_avg_sq, 4 * i, v);
    get_four(a.grad, 4 * i, g);
#pragma unroll
    for (int k = 0; k < 4; ++k) update(a, grad_scale, g[k], w[k], m[k], v[k]);
    put_four(a.exp_avg, 4 * i, m);
    put_four(a.exp_avg_sq, 4 * i, v);
    put_four(a.master, 4 * i, w);
    put_four(param, 4 * i, w);
  }
  for (int64_t i = 4 * vectors + thread; i < a.n; i += threads) {
    float w = a.master[i], m = load(a.exp_avg, i), v = load(a.exp_avg_sq, i);
    update(a, grad_scale, a.grad[i], w, m, v);
    store(a.exp_avg, i, m);
    store(a.exp_avg_sq, i, v);
    a.master[i] = w;
    if constexpr (!std::is_same_v<P, NoParam>) store(param, i, w);
  }
}

}  // namespace

void launch_grad_norm(const GradNormArgs& args, const LaunchContext& context) {
  launch_sum_of(args.grad, SquareOfScaled{static_cast<double>(args.inverse_scale)}, args.squared_norm.as<double>(), args.accumulate,
                args.non_finite.as<int32_t>(), context);
}

void launch_clip_scale(const ClipScaleArgs& args, const LaunchContext& context) {
  launch("clip_scale", clip_scale_kernel, {dim3(1), dim3(1)}, context.stream, args.squared_norm.as<double>(),
         static_cast<double>(args.max_norm), static_cast<double>(args.inverse_scale), args.scale.as<float>());
}

void launch_decide_step(const DecideStepArgs& args, const LaunchContext& context) {
  launch("decide_step", decide_step_kernel, {dim3(1), dim3(1)}, context.stream, args.squared_norm.as<double>(),
         args.non_finite.as<int32_t>(), args.loss_sum.as<double>(), args.skip_non_finite, args.skip_non_finite_loss, args.max_norm,
         args.skip.as<int32_t>(), args.report.as<double>());
}

void launch_adamw(const AdamwArgs& args, const LaunchContext& context) {
  if (!args.skip.empty()) expect_tensor(op_name(args), "skip", args.skip, DType::i32, {1});
  const auto run = [&]<class P, bool kNarrowM, bool kNarrowV>(P* param, Is<kNarrowM>, Is<kNarrowV>) {
    using M = std::conditional_t<kNarrowM, Bf16, float>;  // AdamwArgs::check
    using V = std::conditional_t<kNarrowV, Bf16, float>;
    const AdamwState<M, V> a{.master = args.master.as<float>(),
                             .exp_avg = args.exp_avg.as<M>(),
                             .exp_avg_sq = args.exp_avg_sq.as<V>(),
                             .grad = args.grad.as<float>(),
                             .grad_scale = args.grad_scale.as<float>(),
                             .skip = args.skip.as<int32_t>(),
                             .n = args.master.size(),
                             .beta1 = args.beta1,
                             .beta2 = args.beta2,
                             .rest1 = 1.0F - args.beta1,
                             .rest2 = 1.0F - args.beta2,
                             .eps = args.eps,
                             .step = args.lr / args.bias_correction1,
                             .inverse_correction2 = 1.0F / args.bias_correction2,
                             .keep = args.decoupled ? 1.0F - args.lr * args.weight_decay : 1.0F,
                             .l2 = args.decoupled ? 0.0F : args.weight_decay};
    const bool is_vector = is_aligned(a.master) && is_aligned(a.exp_avg, 4 * sizeof(M)) && is_aligned(a.exp_avg_sq, 4 * sizeof(V)) &&
                           is_aligned(a.grad) && is_aligned(param);
    const int64_t blocks = std::min<int64_t>((a.n + kThreads * 4 - 1) / (kThreads * 4), context.multiprocessors * 8);
    launch("adamw", adamw_kernel<P, M, V>, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, context.stream, a, param, is_vector);
  };
  const auto narrow_m = flag(args.exp_avg.dtype == DType::bf16), narrow_v = flag(args.exp_avg_sq.dtype == DType::bf16);
  const auto with_param = [&]<class P>(P* param) { choose([&](auto m, auto v) { run(param, m, v); }, narrow_m, narrow_v); };
  if (args.param.empty()) return with_param(static_cast<NoParam*>(nullptr));
  with_act(op_name(args), args.param.dtype, [&]<class P>(P*) { with_param(args.param.as<P>()); });
}

void launch_sum(const SumArgs& args, const LaunchContext& context) {
  launch_sum_of(args.x, Identity{}, args.out.as<double>(), true, nullptr, context);
}

}  // namespace mbt::cuda

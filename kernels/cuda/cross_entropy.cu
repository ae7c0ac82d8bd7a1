// Softmax cross-entropy: one block a row. The first sweep keeps a running maximum and the sum of exponentials under it; the second
// overwrites the row with the gradient. Between them the row stays in the L2 cache only while the rows of all blocks on the device fit into
// it, so long rows go to large blocks, of which fewer run at once. 16 bytes at a time where rows are aligned.
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kAtOnce = 4;  // loads of a thread under way
/// Longer rows than this, two blocks of 512 threads on each of 132 multiprocessors, are more than an L2 cache of 50 MB.
constexpr int64_t kLongRowBytes = 180 << 10;

struct CrossEntropyShared {
  double sums[kWarp];
  float maxima[kWarp];
};

struct RowArgs {
  const int32_t* targets;
  const float* mask;
  float* loss;
  int64_t cols, vocab;
  float d_scale;
  const float* device_scale;  // null: 1
  bool compute_gradient, is_vector;
  Fault* fault;
};

/// Sum of e^(x - largest) over the x so far; in fp32 over the packs that are loaded at once, in fp64 over those.
struct RunningSum {
  float largest = -INFINITY;
  double sum = 0;

  /// `terms` has the sum under the maximum `top`, which is -inf when it has no finite or infinite value.
  __device__ void add(float top, double terms) {
    if (top > largest) {
      sum *= static_cast<double>(expf(largest - top));
      largest = top;
    } else if (top < largest) {
      terms *= static_cast<double>(expf(top - largest));
    }
    sum += terms;
  }
};

/// What x - top is taken from: -inf - -inf would make a NaN of logits that count nothing.
__device__ inline float base_of(float top) { return top == -INFINITY ? 0.0F : top; }

/// One maximum over all of x, then one exponential each: no chain from one pack to the next.
template <class P, int kCount>
__device__ inline void add_values(RunningSum& s, const P (&x)[kCount]) {
  float top = s.largest;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) top = fmaxf(top, x[i][k]);
  }
  const float base = base_of(top);
  float terms[kCount] = {};
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) terms[i] += expf(x[i][k] - base);
  }
  for (int i = 1; i < kCount; ++i) terms[0] += terms[i];
  s.add(top, static_cast<double>(terms[0]));
}

/// Packs i, i + kThreads, ... of the row.
template <int kThreads, class P, class T, int kCount>
__device__ inline void load_packs(const T* row, int64_t i, P (&x)[kCount]) {
#pragma unroll
  for (int u = 0; u < kCount; ++u) x[u] = P::at(row, (i + u * kThreads) * P::kSize);
}

/// The row's largest logit and sum, for every thread.
template <int kThreads, class T>
__device__ inline RunningSum sum_of_row(const T* row, const RowArgs& a, CrossEntropyShared& shared) {
  using P = RowPack<T, true>;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t packs = a.is_vector ? a.vocab / P::kSize : 0;
  RunningSum s;
  int64_t i = thread;
  for (; i + (kAtOnce - 1) * kThreads < packs; i += kAtOnce * kThreads) {
    P x[kAtOnce];
    load_packs<kThreads>(row, i, x);
    add_values(s, x);
  }
  for (; i < packs; i += kThreads) {
    const P x[1] = {P::at(row, i * P::kSize)};
    add_values(s, x);
  }
  for (int64_t v = packs * P::kSize + thread; v < a.vocab; v += kThreads) {
    const Pack<T, 1> x[1] = {Pack<T, 1>::at(row, v)};
    add_values(s, x);
  }
  const float largest = block_max(s.largest, shared.maxima);
  const double own = s.largest == largest ? s.sum : s.sum * static_cast<double>(expf(s.largest - base_of(largest)));
  return {largest, block_sum(own, shared.sums)};
}

/// weight * (softmax - one hot of target).
struct Gradient {
  float largest, factor, weight;
  int32_t target;

  __device__ float at(float x, bool is_target) const {
    const float g = expf(x - largest) * factor;
    return is_target ? g - weight : g;
  }
  /// Overwrites the row's i-th pack of logits, x. One of all packs holds the target.
  template <class T, int kCount>
  __device__ void put(Pack<T, kCount> x, T* row, int64_t i) const {
    if (i == target / kCount) x.set_each([&](int k) { return at(x[k], k == target % kCount); });
    else x.set_each([&](int k) { return at(x[k], false); });
    x.put(row, i * kCount);
  }
};

/// Overwrites the row by its gradient, padding columns by 0.
template <int kThreads, class T>
__device__ inline void write_gradient(T* row, const RowArgs& a, const Gradient& gradient) {
  using P = RowPack<T, true>;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t packs = a.is_vector ? a.vocab / P::kSize : 0;
  int64_t i = thread;
  for (; i + (kAtOnce - 1) * kThreads < packs; i += kAtOnce * kThreads) {
    P x[kAtOnce];
    load_packs<kThreads>(row, i, x);
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) gradient.put(x[u], row, i + u * kThreads);
  }
  for (; i < packs; i += kThreads) gradient.put(P::at(row, i * P::kSize), row, i);
  for (int64_t v = packs * P::kSize + thread; v < a.vocab; v += kThreads) gradient.put(Pack<T, 1>::at(row, v), row, v);
  for (int64_t v = a.vocab + thread; v < a.cols; v += kThreads) store(row, v, 0.0F);
}

template <int kThreads, class T>
__global__ void __launch_bounds__(kThreads) cross_entropy_kernel(T* __restrict__ logits, RowArgs a) {
  auto& shared = shared_memory<CrossEntropyShared>();
  const int64_t n = blockIdx.x;
  T* row = logits + n * a.cols;
  const int32_t target = a.targets[n];
  if (target < 0 || target >= a.vocab) {  // the host throws before anything of this row is used
    if (threadIdx.x == 0) report(a.fault, Fault::target, n, target, a.vocab);
    return;
  }
  const float at_target = load(row, target), mask = a.mask[n];
  const RunningSum s = sum_of_row<kThreads>(row, a, shared);  // its barriers separate the reads of at_target from the gradient
  if (threadIdx.x == 0) a.loss[n] = mask * static_cast<float>(log(s.sum) + static_cast<double>(s.largest - at_target));
  if (!a.compute_gradient) return;
  const float d_scale = a.device_scale == nullptr ? a.d_scale : a.d_scale * *a.device_scale;
  const float weight = d_scale * mask;
  write_gradient<kThreads>(row, a, {s.largest, static_cast<float>(static_cast<double>(weight) / s.sum), weight, target});
}

}  // namespace

void launch_cross_entropy(const CrossEntropyArgs& args, const LaunchContext& context) {
  with_act(op_name(args), args.logits.dtype, [&]<class T>(T*) {
    const int64_t cols = args.logits.cols();
    const bool is_vector = rows_are_aligned<T>(cols, {args.logits.data}), is_long = args.vocab_size * int64_t{sizeof(T)} > kLongRowBytes;
    const RowArgs a{.targets = args.targets.as<int32_t>(),
                    .mask = args.loss_mask.as<float>(),
                    .loss = args.loss.as<float>(),
                    .cols = cols,
                    .vocab = args.vocab_size,
                    .d_scale = args.d_scale,
                    .device_scale = args.device_scale.as<float>(),
                    .compute_gradient = args.compute_gradient,
                    .is_vector = is_vector,
                    .fault = context.fault};
    launch("cross_entropy", is_long ? cross_entropy_kernel<1024, T> : cross_entropy_kernel<512, T>,
           {dim3(static_cast<unsigned>(args.logits.rows())), dim3(is_long ? 1024 : 512), sizeof(CrossEntropyShared)}, context.stream,
           args.logits.as<T>(), a);
  });
}

}  // namespace mbt::cuda

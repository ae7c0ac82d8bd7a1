// Softmax cross-entropy: one block a row. The first sweep keeps a running maximum and the sum of exponentials under it; the second, with the
// row in the L2 cache, overwrites it with the gradient. 16 bytes at a time where rows are aligned.
#include "kernels/cuda/device/element.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 512;

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

/// Sum of e^(x - largest) over the x so far; in fp32 over one vector, in fp64 over vectors.
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

template <int kSize>
__device__ inline void add_values(RunningSum& s, const float (&x)[kSize]) {
  float top = s.largest;
#pragma unroll
  for (int k = 0; k < kSize; ++k) top = fmaxf(top, x[k]);
  float terms = 0;
#pragma unroll
  for (int k = 0; k < kSize; ++k) terms += expf(x[k] - base_of(top));
  s.add(top, static_cast<double>(terms));
}

/// The row's largest logit and sum, for every thread.
template <class T>
__device__ inline RunningSum sum_of_row(const T* row, const RowArgs& a, CrossEntropyShared& shared) {
  constexpr int kSize = Vector<T>::kSize;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t vectors = a.is_vector ? a.vocab / kSize : 0;
  RunningSum s;
#pragma unroll 2
  for (int64_t i = thread; i < vectors; i += kThreads) add_values(s, Vector<T>::at(row, i * kSize).values);
  for (int64_t v = vectors * kSize + thread; v < a.vocab; v += kThreads) {
    const float x[1] = {load(row, v)};
    add_values(s, x);
  }
  const float largest = block_max(s.largest, shared.maxima);
  const double own = s.largest == largest ? s.sum : s.sum * static_cast<double>(expf(s.largest - base_of(largest)));
  return {largest, block_sum(own, shared.sums)};
}

/// Overwrites the row by weight * (softmax - one hot of target), padding columns by 0.
template <class T>
__device__ inline void write_gradient(T* row, const RowArgs& a, const RunningSum& s, int32_t target, float at_target, float weight) {
  constexpr int kSize = Vector<T>::kSize;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t vectors = a.is_vector ? a.vocab / kSize : 0;
  const float factor = static_cast<float>(static_cast<double>(weight) / s.sum);
  const auto gradient = [&](int64_t v, float x) {
    const float g = expf((v == target ? at_target : x) - s.largest) * factor;
    return v == target ? g - weight : g;
  };
#pragma unroll 2
  for (int64_t i = thread; i < vectors; i += kThreads) {
    Vector<T> x = Vector<T>::at(row, i * kSize);
#pragma unroll
    for (int k = 0; k < kSize; ++k) x.values[k] = gradient(i * kSize + k, x.values[k]);
    x.put(row, i * kSize);
  }
  for (int64_t v = vectors * kSize + thread; v < a.vocab; v += kThreads) store(row, v, gradient(v, load(row, v)));
  for (int64_t v = a.vocab + thread; v < a.cols; v += kThreads) store(row, v, 0.0F);
}

template <class T>
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
  const RunningSum s = sum_of_row(row, a, shared);  // its barriers separate the reads of at_target from the gradient
  if (threadIdx.x == 0) a.loss[n] = mask * static_cast<float>(log(s.sum) + static_cast<double>(s.largest - at_target));
  if (!a.compute_gradient) return;
  const float d_scale = a.device_scale == nullptr ? a.d_scale : a.d_scale * *a.device_scale;
  write_gradient(row, a, s, target, at_target, d_scale * mask);
}

}  // namespace

void launch_cross_entropy(const CrossEntropyArgs& args, const LaunchContext& context) {
  with_act("cross_entropy", args.logits.dtype, [&]<class T>(T*) {
    const int64_t cols = args.logits.cols();
    const bool is_vector = cols % Vector<T>::kSize == 0 && reinterpret_cast<uintptr_t>(args.logits.data) % 16 == 0;
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
    launch("cross_entropy", cross_entropy_kernel<T>,
           {dim3(static_cast<unsigned>(args.logits.rows())), dim3(kThreads), sizeof(CrossEntropyShared)}, context.stream, args.logits.as<T>(),
           a);
  });
}

}  // namespace mbt::cuda

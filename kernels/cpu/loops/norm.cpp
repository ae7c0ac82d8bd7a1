#include "kernels/cpu/loops/norm.h"

#include <cmath>

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

// Not inlined: rows with and without a residual would get loops of their own, which sum in different orders, and a recomputed norm must
// have the very bits of the first.
template <class T>
[[gnu::noinline]] float mean_of(const T* row, int64_t cols) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < cols; ++c) sum += load(row, c);
  return sum / static_cast<float>(cols);
}

template <class T>
[[gnu::noinline]] float mean_square_of(const T* row, int64_t cols, float mean) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < cols; ++c) sum += (load(row, c) - mean) * (load(row, c) - mean);
  return sum / static_cast<float>(cols);
}

/// The row that is normalized: x, or h = x + delta after writing it.
template <class T>
const T* residual_row(const NormFwdArgs& a, int64_t n, int64_t cols) {
  const T* x = a.x.as<T>() + n * cols;
  if (a.h.data == nullptr) return x;
  T* h = a.h.as<T>() + n * cols;
  if (a.delta.data != nullptr) {
    const T* delta = a.delta.as<T>() + n * cols;
#pragma omp simd
    for (int64_t c = 0; c < cols; ++c) store(h, c, load(x, c) + load(delta, c));
  } else if (h != x) {
    __builtin_memcpy(h, x, static_cast<size_t>(cols) * sizeof(T));
  }
  return h;
}

template <class T, NormKind kKind>
void fwd(const NormFwdArgs& a) {
  const int64_t rows = a.x.rows();
  const int64_t cols = a.x.cols();
  const T* weight = a.weight.as<T>();
  const T* bias = a.bias.as<T>();
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < rows; ++n) {
    const T* h = residual_row<T>(a, n, cols);
    T* y = a.y.as<T>() + n * cols;
    const float mean = kKind == NormKind::layernorm ? mean_of(h, cols) : 0.0f;
    const float rstd = 1.0f / std::sqrt(mean_square_of(h, cols, mean) + a.eps);
    a.rstd.as<float>()[n] = rstd;
    if constexpr (kKind == NormKind::layernorm) {
      a.mean.as<float>()[n] = mean;
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) store(y, c, (load(h, c) - mean) * rstd * load(weight, c) + load(bias, c));
    } else {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) store(y, c, load(h, c) * rstd * load(weight, c));
    }
  }
}

/// One row: adds to the partial weight gradients and writes d_h = rstd * (g - mean(g) - x_hat * mean(g * x_hat)), g = d_y * weight,
/// where rmsnorm has no mean(g).
template <class T, NormKind kKind>
void bwd_row(const NormBwdArgs& a, int64_t n, int64_t cols, float* d_weight, float* d_bias) {
  const T* d_y = a.d_y.as<T>() + n * cols;
  const T* h = a.h.as<T>() + n * cols;
  const T* weight = a.weight.as<T>();
  T* d_h = a.d_h.as<T>() + n * cols;
  const float rstd = a.rstd.as<float>()[n];
  const float mean = kKind == NormKind::layernorm ? a.mean.as<float>()[n] : 0.0f;
  float sum = 0;
  float dot = 0;
#pragma omp simd reduction(+ : sum, dot)
  for (int64_t c = 0; c < cols; ++c) {
    const float dy = load(d_y, c);
    const float x_hat = (load(h, c) - mean) * rstd;
    const float g = dy * load(weight, c);
    dot += g * x_hat;
    d_weight[c] += dy * x_hat;
    if constexpr (kKind == NormKind::layernorm) {
      sum += g;
      d_bias[c] += dy;
    }
  }
  sum /= static_cast<float>(cols);
  dot /= static_cast<float>(cols);
  const float keep = a.accumulate ? 1.0f : 0.0f;
  if (!a.accumulate) __builtin_memset(d_h, 0, static_cast<size_t>(cols) * sizeof(T));
#pragma omp simd
  for (int64_t c = 0; c < cols; ++c) {
    const float x_hat = (load(h, c) - mean) * rstd;
    const float d = rstd * (load(d_y, c) * load(weight, c) - sum - x_hat * dot);
    store(d_h, c, keep * load(d_h, c) + d);
  }
}

template <class T, NormKind kKind>
void bwd(const NormBwdArgs& a, float* partials) {
  const int64_t cols = a.h.cols();
  const RowChunks chunks(a.h.rows());
  const int64_t stride = 2 * cols;  // d_weight, then d_bias
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < chunks.count; ++i) {
    float* partial = partials + i * stride;
    __builtin_memset(partial, 0, static_cast<size_t>(stride) * sizeof(float));
    for (int64_t n = chunks.begin(i); n < chunks.end(i); ++n) bwd_row<T, kKind>(a, n, cols, partial, partial + cols);
  }
  add_partials(partials, chunks.count, stride, cols, a.d_weight.as<float>());
  if constexpr (kKind == NormKind::layernorm) add_partials(partials + cols, chunks.count, stride, cols, a.d_bias.as<float>());
}

}  // namespace

void norm_fwd(const NormFwdArgs& args) {
  with_act(args.x.dtype,
           [&]<class T>(T*) { args.kind == NormKind::layernorm ? fwd<T, NormKind::layernorm>(args) : fwd<T, NormKind::rmsnorm>(args); });
}

void norm_bwd(const NormBwdArgs& args, float* partials) {
  with_act(args.h.dtype, [&]<class T>(T*) {
    args.kind == NormKind::layernorm ? bwd<T, NormKind::layernorm>(args, partials) : bwd<T, NormKind::rmsnorm>(args, partials);
  });
}

}  // namespace mbt::cpu::MBT_LEVEL

#include "kernels/cpu/loops/qk_norm.h"

#include <cmath>

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

template <class T>
float head_fwd(const T* x, const T* weight, int64_t width, float eps, T* y) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) sum += load(x, i) * load(x, i);
  const float rstd = 1.0f / std::sqrt(sum / static_cast<float>(width) + eps);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) store(y, i, load(x, i) * rstd * load(weight, i));
  return rstd;
}

template <class T>
void head_bwd(T* d, const T* x, const T* weight, float rstd, int64_t width, float* d_weight) {
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < width; ++i) {
    const float x_hat = load(x, i) * rstd;
    dot += load(d, i) * load(weight, i) * x_hat;
    d_weight[i] += load(d, i) * x_hat;
  }
  dot /= static_cast<float>(width);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) store(d, i, rstd * (load(d, i) * load(weight, i) - load(x, i) * rstd * dot));
}

template <class T>
void fwd(const QkNormFwdArgs& a) {
  const int64_t rows = a.qkv.rows();
  const int64_t cols = a.qkv.cols();
  const int64_t width = a.q_weight.cols();
  const int64_t heads = a.num_heads + a.num_kv_heads;
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < rows; ++n) {
    const T* from = a.qkv.as<T>() + n * cols;
    T* to = a.qkv_out.as<T>() + n * cols;
    for (int64_t h = 0; h < heads; ++h) {
      const T* weight = h < a.num_heads ? a.q_weight.as<T>() : a.k_weight.as<T>();
      a.rstd.as<float>()[n * heads + h] = head_fwd(from + h * width, weight, width, a.eps, to + h * width);
    }
    __builtin_memcpy(to + heads * width, from + heads * width, static_cast<size_t>(cols - heads * width) * sizeof(T));
  }
}

template <class T>
void bwd(const QkNormBwdArgs& a, float* partials) {
  const int64_t cols = a.qkv.cols();
  const int64_t width = a.q_weight.cols();
  const int64_t heads = a.num_heads + a.num_kv_heads;
  const RowChunks chunks(a.qkv.rows());
  const int64_t stride = 2 * width;  // d_q_weight, then d_k_weight
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < chunks.count; ++i) {
    float* partial = partials + i * stride;
    __builtin_memset(partial, 0, static_cast<size_t>(stride) * sizeof(float));
    for (int64_t n = chunks.begin(i); n < chunks.end(i); ++n) {
      for (int64_t h = 0; h < heads; ++h) {
        const bool is_query = h < a.num_heads;
        head_bwd(a.d_qkv.as<T>() + n * cols + h * width, a.qkv.as<T>() + n * cols + h * width,
                 is_query ? a.q_weight.as<T>() : a.k_weight.as<T>(), a.rstd.as<float>()[n * heads + h], width,
                 is_query ? partial : partial + width);
      }
    }
  }
  add_partials(partials, chunks.count, stride, width, a.d_q_weight.as<float>());
  add_partials(partials + width, chunks.count, stride, width, a.d_k_weight.as<float>());
}

}  // namespace

void qk_norm_fwd(const QkNormFwdArgs& args) {
  with_act(args.qkv.dtype, [&]<class T>(T*) { fwd<T>(args); });
}

void qk_norm_bwd(const QkNormBwdArgs& args, float* partials) {
  with_act(args.qkv.dtype, [&]<class T>(T*) { bwd<T>(args, partials); });
}

}  // namespace mbt::cpu::MBT_LEVEL

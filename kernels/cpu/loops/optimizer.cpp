#include "kernels/cpu/loops/optimizer.h"

#include <cmath>

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

/// range_sum(first, last) over every chunk of [0, n), on any thread; then the sum of those in order.
template <class RangeSum>
double chunked_sum(int64_t n, double* partials, RangeSum range_sum) {
  const int64_t chunks = (n + kFlatChunk - 1) / kFlatChunk;
#pragma omp parallel for schedule(static)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t first = chunk * kFlatChunk;
    partials[chunk] = range_sum(first, first + kFlatChunk < n ? first + kFlatChunk : n);
  }
  double total = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) total += partials[chunk];
  return total;
}

double sum_of(const float* x, int64_t n) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(x[i]);
  return total;
}

double sum_of_squares(const float* x, int64_t n, double scale) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; ++i) total += (x[i] * scale) * (x[i] * scale);
  return total;
}

struct NoParam {};

/// P: element type of the working copy, NoParam when there is none; M, V: of the moments.
template <class P, class M, class V, bool kDecoupled>
void adamw_of(const AdamwArgs& a, P* param, M* exp_avg, V* exp_avg_sq) {
  const int64_t n = a.master.size();
  float* master = a.master.as<float>();
  const float* grad = a.grad.as<float>();
  const float grad_scale = *a.grad_scale.as<float>();
  const float beta1 = a.beta1, beta2 = a.beta2, eps = a.eps;
  const float rest1 = 1.0f - beta1, rest2 = 1.0f - beta2;
  const float step = a.lr / a.bias_correction1;
  const float inverse_correction2 = 1.0f / a.bias_correction2;
  const float keep = kDecoupled ? 1.0f - a.lr * a.weight_decay : 1.0f;
  const float l2 = kDecoupled ? 0.0f : a.weight_decay;
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; ++i) {
    float w = master[i];
    float g = grad[i] * grad_scale;
    if constexpr (!kDecoupled) g += l2 * w;
    const float m = beta1 * load(exp_avg, i) + rest1 * g;
    const float v = beta2 * load(exp_avg_sq, i) + rest2 * (g * g);
    w = w * keep - step * (m / (std::sqrt(v * inverse_correction2) + eps));
    store(exp_avg, i, m);
    store(exp_avg_sq, i, v);
    master[i] = w;
    if constexpr (!__is_same(P, NoParam)) store(param, i, w);
  }
}

/// f with a pointer to the moment's elements, f32 or bf16.
template <class F>
void with_moment(const TensorView& moment, F&& f) {
  moment.dtype == DType::bf16 ? f(moment.as<Bf16>()) : f(moment.as<float>());
}

template <class P>
void adamw_of(const AdamwArgs& a, P* param) {
  with_moment(a.exp_avg, [&]<class M>(M* exp_avg) {
    with_moment(a.exp_avg_sq, [&]<class V>(V* exp_avg_sq) {
      a.decoupled ? adamw_of<P, M, V, true>(a, param, exp_avg, exp_avg_sq) : adamw_of<P, M, V, false>(a, param, exp_avg, exp_avg_sq);
    });
  });
}

}  // namespace

void grad_norm(const GradNormArgs& args, double* partials) {
  const float* grad = args.grad.as<float>();
  const double scale = args.inverse_scale;
  const double total = chunked_sum(args.grad.size(), partials,
                                   [=](int64_t first, int64_t last) { return sum_of_squares(grad + first, last - first, scale); });
  const int32_t non_finite = std::isfinite(total) ? 0 : 1;  // finite fp32 squares cannot overflow an f64 sum
  auto* norm = args.squared_norm.as<double>();
  auto* flag = args.non_finite.as<int32_t>();
  *norm = args.accumulate ? *norm + total : total;
  *flag = args.accumulate ? *flag | non_finite : non_finite;
}

void sum(const SumArgs& args, double* partials) {
  const float* x = args.x.as<float>();
  *args.out.as<double>() +=
      chunked_sum(args.x.size(), partials, [=](int64_t first, int64_t last) { return sum_of(x + first, last - first); });
}

void adamw(const AdamwArgs& args) {
  if (args.skip.data != nullptr && *args.skip.as<int32_t>() != 0) return;
  if (args.param.data == nullptr) return adamw_of(args, static_cast<NoParam*>(nullptr));
  with_act(args.param.dtype, [&]<class P>(P*) { adamw_of(args, args.param.as<P>()); });
}

}  // namespace mbt::cpu::MBT_LEVEL

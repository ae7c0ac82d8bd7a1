// Activations of the MLP: a thread for a pack of each row, packs of 16 bytes where rows are aligned, else of one element.
//   activation_fwd_kernel, activation_bwd_kernel           y = f(x)
//   gated_fwd_kernel, gated_bwd_kernel                     y = f(gate) * up, x = gate | up in each row
// exp is the accurate one (no -use_fast_math) and divisions are reciprocals rounded to nearest: still far from the arithmetic's limit.
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float sigmoid_of(float x) { return __frcp_rn(1.0F + expf(-x)); }

struct Silu {
  __device__ static float value(float x) { return x * sigmoid_of(x); }
  __device__ static float slope(float x) {
    const float s = sigmoid_of(x);
    return s + x * s * (1.0F - s);
  }
};

/// x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr float kLinear = 1.5957691216F;  // 2 sqrt(2/pi)
  static constexpr float kCubic = 0.044715F * kLinear;
  __device__ static float value(float x) { return x * sigmoid_of(x * (kLinear + kCubic * x * x)); }
  __device__ static float slope(float x) {
    const float s = sigmoid_of(x * (kLinear + kCubic * x * x));
    return s + x * s * (1.0F - s) * (kLinear + 3.0F * kCubic * x * x);
  }
};

/// x Phi(x), Phi(x) = erfc(-x / sqrt2) / 2: erfc keeps its precision in the left tail, 1 + erf does not.
struct GeluErf {
  __device__ static float cdf(float x) { return 0.5F * erfcf(-0.70710678F * x); }
  __device__ static float value(float x) { return x * cdf(x); }
  __device__ static float slope(float x) { return cdf(x) + x * 0.3989422804F * expf(-0.5F * x * x); }
};

struct Relu {
  __device__ static float value(float x) { return x > 0.0F ? x : 0.0F * x; }  // 0 * x: a NaN stays one
  __device__ static float slope(float x) { return x > 0.0F ? 1.0F : 0.0F; }
};

struct SquaredRelu {
  __device__ static float value(float x) { return x > 0.0F ? x * x : 0.0F * x; }
  __device__ static float slope(float x) { return x > 0.0F ? 2.0F * x : 0.0F; }
};

template <class F, class T, bool kWide>
__global__ void __launch_bounds__(kThreads) activation_fwd_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t rows, int64_t cols) {
  using P = RowPack<T, kWide>;
  const int64_t c = pack_of_row() * P::kSize;
  if (c >= cols) return;
  for (int64_t n = first_row(); n < rows; n += row_step()) {
    P p = P::at(x, n * cols + c);
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) p.set(k, F::value(p[k]));
    p.put(y, n * cols + c);
  }
}

template <class F, class T, bool kWide>
__global__ void __launch_bounds__(kThreads)
    activation_bwd_kernel(const T* __restrict__ d_y, const T* __restrict__ x, T* __restrict__ d_x, int64_t rows, int64_t cols) {
  using P = RowPack<T, kWide>;
  const int64_t c = pack_of_row() * P::kSize;
  if (c >= cols) return;
  for (int64_t n = first_row(); n < rows; n += row_step()) {
    P d = P::at(d_y, n * cols + c);
    const P p = P::at(x, n * cols + c);
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) d.set(k, d[k] * F::slope(p[k]));
    d.put(d_x, n * cols + c);
  }
}

/// x [rows, 2 * cols], y [rows, cols].
template <class F, class T, bool kWide>
__global__ void __launch_bounds__(kThreads) gated_fwd_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t rows, int64_t cols) {
  using P = RowPack<T, kWide>;
  const int64_t c = pack_of_row() * P::kSize;
  if (c >= cols) return;
  for (int64_t n = first_row(); n < rows; n += row_step()) {
    P gate = P::at(x, n * 2 * cols + c);
    const P up = P::at(x, n * 2 * cols + cols + c);
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) gate.set(k, F::value(gate[k]) * up[k]);
    gate.put(y, n * cols + c);
  }
}

/// d_y [rows, cols], x and d_x [rows, 2 * cols].
template <class F, class T, bool kWide>
__global__ void __launch_bounds__(kThreads)
    gated_bwd_kernel(const T* __restrict__ d_y, const T* __restrict__ x, T* __restrict__ d_x, int64_t rows, int64_t cols) {
  using P = RowPack<T, kWide>;
  const int64_t c = pack_of_row() * P::kSize;
  if (c >= cols) return;
  for (int64_t n = first_row(); n < rows; n += row_step()) {
    const P d = P::at(d_y, n * cols + c);
    P gate = P::at(x, n * 2 * cols + c), up = P::at(x, n * 2 * cols + cols + c);
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) {
      const float g = gate[k], u = up[k];
      gate.set(k, d[k] * u * F::slope(g));
      up.set(k, d[k] * F::value(g));
    }
    gate.put(d_x, n * 2 * cols + c);
    up.put(d_x, n * 2 * cols + cols + c);
  }
}

template <class F, class T, bool kWide>
void fwd(const ActivationFwdArgs& a, cudaStream_t stream) {
  const int64_t rows = a.y.rows(), cols = a.y.cols();
  const LaunchShape shape = shape_of_rows(rows, cols / RowPack<T, kWide>::kSize);
  launch("activation_fwd", is_gated(a.kind) ? gated_fwd_kernel<F, T, kWide> : activation_fwd_kernel<F, T, kWide>, shape, stream,
         a.x.as<T>(), a.y.as<T>(), rows, cols);
}

template <class F, class T, bool kWide>
void bwd(const ActivationBwdArgs& a, cudaStream_t stream) {
  const int64_t rows = a.d_y.rows(), cols = a.d_y.cols();
  const LaunchShape shape = shape_of_rows(rows, cols / RowPack<T, kWide>::kSize);
  launch("activation_bwd", is_gated(a.kind) ? gated_bwd_kernel<F, T, kWide> : activation_bwd_kernel<F, T, kWide>, shape, stream,
         a.d_y.as<T>(), a.x.as<T>(), a.d_x.as<T>(), rows, cols);
}

/// Calls f with a (null) pointer of the function behind `kind`.
template <class F>
void with_function(ActivationKind kind, F&& f) {
  switch (kind) {
    case ActivationKind::swiglu:
    case ActivationKind::silu: return f(static_cast<Silu*>(nullptr));
    case ActivationKind::geglu:
    case ActivationKind::gelu_tanh: return f(static_cast<GeluTanh*>(nullptr));
    case ActivationKind::gelu_erf: return f(static_cast<GeluErf*>(nullptr));
    case ActivationKind::relu: return f(static_cast<Relu*>(nullptr));
    case ActivationKind::squared_relu: return f(static_cast<SquaredRelu*>(nullptr));
  }
}

}  // namespace

void launch_activation_fwd(const ActivationFwdArgs& args, const LaunchContext& context) {
  with_act("activation_fwd", args.x.dtype, [&]<class T>(T*) {
    const bool is_wide = rows_are_aligned<T>(args.y.cols(), {args.x.data, args.y.data});
    with_function(args.kind,
                  [&]<class F>(F*) { is_wide ? fwd<F, T, true>(args, context.stream) : fwd<F, T, false>(args, context.stream); });
  });
}

void launch_activation_bwd(const ActivationBwdArgs& args, const LaunchContext& context) {
  with_act("activation_bwd", args.x.dtype, [&]<class T>(T*) {
    const bool is_wide = rows_are_aligned<T>(args.d_y.cols(), {args.d_y.data, args.x.data, args.d_x.data});
    with_function(args.kind,
                  [&]<class F>(F*) { is_wide ? bwd<F, T, true>(args, context.stream) : bwd<F, T, false>(args, context.stream); });
  });
}

}  // namespace mbt::cuda

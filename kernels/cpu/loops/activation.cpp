#include "kernels/cpu/loops/activation.h"

#include "kernels/cpu/loops/math.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

using Kind = ActivationKind;

struct Silu {
  static float value(float x) { return x * sigmoid_of(x); }
  static float slope(float x) {
    const float s = sigmoid_of(x);
    return s + x * s * (1.0f - s);
  }
};

/// gelu_tanh(x) = x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr float kLinear = 1.5957691216f;  // 2 sqrt(2/pi)
  static constexpr float kCubic = 0.044715f * kLinear;
  static float value(float x) { return x * sigmoid_of(x * (kLinear + kCubic * x * x)); }
  static float slope(float x) {
    const float s = sigmoid_of(x * (kLinear + kCubic * x * x));
    return s + x * s * (1.0f - s) * (kLinear + 3.0f * kCubic * x * x);
  }
};

struct GeluErf {
  static float value(float x) { return x * normal_cdf_of(x); }
  static float slope(float x) { return normal_cdf_of(x) + x * 0.3989422804f * exp_of(-0.5f * x * x); }
};

struct Relu {
  static float value(float x) { return x > 0.0f ? x : 0.0f * x; }  // 0 * x: a NaN stays one
  static float slope(float x) { return x > 0.0f ? 1.0f : 0.0f; }
};

struct SquaredRelu {
  static float value(float x) { return x > 0.0f ? x * x : 0.0f * x; }
  static float slope(float x) { return x > 0.0f ? 2.0f * x : 0.0f; }
};

template <class F, class T>
void fwd(const ActivationFwdArgs& a) {
  const int64_t rows = a.y.rows();
  const int64_t cols = a.y.cols();
  const bool gated = is_gated(a.kind);
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < rows; ++n) {
    const T* x = a.x.as<T>() + n * (gated ? 2 * cols : cols);
    T* y = a.y.as<T>() + n * cols;
    if (gated) {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) store(y, c, F::value(load(x, c)) * load(x, cols + c));
    } else {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) store(y, c, F::value(load(x, c)));
    }
  }
}

template <class F, class T>
void bwd(const ActivationBwdArgs& a) {
  const int64_t rows = a.d_y.rows();
  const int64_t cols = a.d_y.cols();
  const bool gated = is_gated(a.kind);
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < rows; ++n) {
    const T* x = a.x.as<T>() + n * (gated ? 2 * cols : cols);
    const T* d_y = a.d_y.as<T>() + n * cols;
    T* d_x = a.d_x.as<T>() + n * (gated ? 2 * cols : cols);
    if (gated) {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) {
        const float gate = load(x, c);
        const float d = load(d_y, c);
        store(d_x, c, d * load(x, cols + c) * F::slope(gate));
        store(d_x, cols + c, d * F::value(gate));
      }
    } else {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) store(d_x, c, load(d_y, c) * F::slope(load(x, c)));
    }
  }
}

/// Calls f with a (null) pointer of the function behind `kind`.
template <class F>
void with_function(Kind kind, F&& f) {
  switch (kind) {
    case Kind::swiglu:
    case Kind::silu: return f(static_cast<Silu*>(nullptr));
    case Kind::geglu:
    case Kind::gelu_tanh: return f(static_cast<GeluTanh*>(nullptr));
    case Kind::gelu_erf: return f(static_cast<GeluErf*>(nullptr));
    case Kind::relu: return f(static_cast<Relu*>(nullptr));
    case Kind::squared_relu: return f(static_cast<SquaredRelu*>(nullptr));
  }
}

}  // namespace

void activation_fwd(const ActivationFwdArgs& args) {
  with_act(args.x.dtype, [&]<class T>(T*) { with_function(args.kind, [&]<class F>(F*) { fwd<F, T>(args); }); });
}

void activation_bwd(const ActivationBwdArgs& args) {
  with_act(args.x.dtype, [&]<class T>(T*) { with_function(args.kind, [&]<class F>(F*) { bwd<F, T>(args); }); });
}

}  // namespace mbt::cpu::MBT_LEVEL

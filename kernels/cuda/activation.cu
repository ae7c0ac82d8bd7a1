// Activations of the MLP: a thread for a pack of each row, packs of 16 bytes where rows are aligned, else of one element.
//   activation_fwd_kernel, activation_bwd_kernel           y = f(x)
//   gated_fwd_kernel, gated_bwd_kernel                     y = f(gate) * up, x = gate | up in each row
// The output is quantized on the way where that is wanted (device/output_quantizer.h); fewer threads then take several rows each, so that
// there are few maxima.
// exp is the accurate one (no -use_fast_math) and divisions are reciprocals rounded to nearest: still far from the arithmetic's limit.
#include <algorithm>

#include "kernels/cuda/device/output_quantizer.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 8;  // where the output is quantized

/// body(row, column, quantizer) for the thread's pack in each of its rows.
template <bool kFused, class Body>
__device__ void for_rows_of_pack(int pack_size, int64_t rows, int64_t cols, const FusedQuant& quant, const Body& body) {
  OutputQuantizer<kFused> quantizer(quant);
  const int64_t c = pack_of_row() * pack_size;
  if (c < cols) {
    for (int64_t n = first_row(); n < rows; n += row_step()) body(n, c, quantizer);
  }
  if constexpr (kFused) quantizer.finish(shared_array<float>(0, 1));
}

__device__ float sigmoid_of(float x) { return __frcp_rn(1.0F + expf(-x)); }

struct Silu {
  static constexpr bool kIsGate = true;  // of swiglu, geglu
  __device__ static float value(float x) { return x * sigmoid_of(x); }
  __device__ static float slope(float x) {
    const float s = sigmoid_of(x);
    return s + x * s * (1.0F - s);
  }
};

/// x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr bool kIsGate = true;
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
  static constexpr bool kIsGate = false;
  __device__ static float cdf(float x) { return 0.5F * erfcf(-0.70710678F * x); }
  __device__ static float value(float x) { return x * cdf(x); }
  __device__ static float slope(float x) { return cdf(x) + x * 0.3989422804F * expf(-0.5F * x * x); }
};

struct Relu {
  static constexpr bool kIsGate = false;
  __device__ static float value(float x) { return x > 0.0F ? x : 0.0F * x; }  // 0 * x: a NaN stays one
  __device__ static float slope(float x) { return x > 0.0F ? 1.0F : 0.0F; }
};

struct SquaredRelu {
  static constexpr bool kIsGate = false;
  __device__ static float value(float x) { return x > 0.0F ? x * x : 0.0F * x; }
  __device__ static float slope(float x) { return x > 0.0F ? 2.0F * x : 0.0F; }
};

template <class T>
struct ActivationFwd {
  const T* x;  // [rows, cols], gated: [rows, 2 * cols]
  T* y;        // [rows, cols]; null: only its codes are wanted
  int64_t rows, cols;
};

template <class T>
struct ActivationBwd {
  const T* d_y;  // [rows, cols]
  const T* x;    // [rows, cols], gated: [rows, 2 * cols]
  T* d_x;        // as x; null: only its codes are wanted
  int64_t rows, cols;
};

/// A pack of the output: stored where it is wanted, and quantized.
template <bool kFused, class P, class T>
__device__ void put_output(const P& p, T* out, int64_t at, OutputQuantizer<kFused>& quantizer) {
  if (!kFused || out != nullptr) p.put(out, at);
  quantizer.add(p, at);
}

template <class F, class T, bool kWide, bool kFused>
__global__ void __launch_bounds__(kThreads) activation_fwd_kernel(ActivationFwd<T> a, FusedQuant quant) {
  using P = RowPack<T, kWide>;
  for_rows_of_pack<kFused>(P::kSize, a.rows, a.cols, quant, [&](int64_t n, int64_t c, OutputQuantizer<kFused>& quantizer) {
    P p = P::at(a.x, n * a.cols + c);
    p.set_each([&](int k) { return F::value(p[k]); });
    put_output<kFused>(p, a.y, n * a.cols + c, quantizer);
  });
}

template <class F, class T, bool kWide, bool kFused>
__global__ void __launch_bounds__(kThreads) activation_bwd_kernel(ActivationBwd<T> a, FusedQuant quant) {
  using P = RowPack<T, kWide>;
  for_rows_of_pack<kFused>(P::kSize, a.rows, a.cols, quant, [&](int64_t n, int64_t c, OutputQuantizer<kFused>& quantizer) {
    P d = P::at(a.d_y, n * a.cols + c);
    const P p = P::at(a.x, n * a.cols + c);
    d.set_each([&](int k) { return d[k] * F::slope(p[k]); });
    put_output<kFused>(d, a.d_x, n * a.cols + c, quantizer);
  });
}

template <class F, class T, bool kWide, bool kFused>
__global__ void __launch_bounds__(kThreads) gated_fwd_kernel(ActivationFwd<T> a, FusedQuant quant) {
  using P = RowPack<T, kWide>;
  for_rows_of_pack<kFused>(P::kSize, a.rows, a.cols, quant, [&](int64_t n, int64_t c, OutputQuantizer<kFused>& quantizer) {
    P gate = P::at(a.x, n * 2 * a.cols + c);
    const P up = P::at(a.x, n * 2 * a.cols + a.cols + c);
    gate.set_each([&](int k) { return F::value(gate[k]) * up[k]; });
    put_output<kFused>(gate, a.y, n * a.cols + c, quantizer);
  });
}

template <class F, class T, bool kWide, bool kFused>
__global__ void __launch_bounds__(kThreads) gated_bwd_kernel(ActivationBwd<T> a, FusedQuant quant) {
  using P = RowPack<T, kWide>;
  for_rows_of_pack<kFused>(P::kSize, a.rows, a.cols, quant, [&](int64_t n, int64_t c, OutputQuantizer<kFused>& quantizer) {
    const P d = P::at(a.d_y, n * a.cols + c);
    P gate = P::at(a.x, n * 2 * a.cols + c), up = P::at(a.x, n * 2 * a.cols + a.cols + c);
    float d_gate[P::kSize], d_up[P::kSize];
#pragma unroll
    for (int k = 0; k < P::kSize; ++k) {
      d_gate[k] = d[k] * up[k] * F::slope(gate[k]);
      d_up[k] = d[k] * F::value(gate[k]);
    }
    gate.set_all(d_gate);
    up.set_all(d_up);
    put_output<kFused>(gate, a.d_x, n * 2 * a.cols + c, quantizer);
    put_output<kFused>(up, a.d_x, n * 2 * a.cols + a.cols + c, quantizer);
  });
}

/// A launch over a.rows rows of a.cols outputs, and what is left of the output's quantization.
template <bool kFused, class A>
void run(const char* name, void (*kernel)(A, FusedQuant), const A& a, int64_t packs, const ConstTensorView& out,
         const QuantOutput& quantized, Fusion fusion, const LaunchContext& context) {
  LaunchShape shape = shape_of_rows(a.rows, packs);
  if (kFused) {
    const auto rows_of_blocks = static_cast<unsigned>(kBlocksPerMultiprocessor * context.multiprocessors) / std::max(1U, shape.grid.x);
    shape.grid.y = std::clamp(rows_of_blocks, 1U, std::max(1U, shape.grid.y));
    shape.shared_bytes = sizeof(float);
  }
  const size_t blocks = size_t{shape.grid.x} * shape.grid.y;
  float* parts = fusion == Fusion::amax ? context.scratch.get<float>(blocks) : nullptr;
  launch(name, kernel, shape, context.stream, a, fused_quant(quantized, fusion, parts));
  launch_rest_of_quantize(out, quantized, fusion, {parts, static_cast<int>(blocks)}, context);
}

template <class F, class T, bool kWide, bool kFused>
void fwd(const ActivationFwdArgs& args, Fusion fusion, const LaunchContext& context) {
  const ActivationFwd<T> a{args.x.as<T>(), fusion == Fusion::codes && !args.keeps_y ? nullptr : args.y.as<T>(), args.y.rows(),
                           args.y.cols()};
  void (*kernel)(ActivationFwd<T>, FusedQuant) = activation_fwd_kernel<F, T, kWide, kFused>;
  if constexpr (F::kIsGate) {
    if (is_gated(args.kind)) kernel = gated_fwd_kernel<F, T, kWide, kFused>;
  }
  run<kFused>("activation_fwd", kernel, a, a.cols / RowPack<T, kWide>::kSize, args.y, args.quantized, fusion, context);
}

template <class F, class T, bool kWide, bool kFused>
void bwd(const ActivationBwdArgs& args, Fusion fusion, const LaunchContext& context) {
  const ActivationBwd<T> a{args.d_y.as<T>(), args.x.as<T>(), fusion == Fusion::codes && !args.keeps_d_x ? nullptr : args.d_x.as<T>(),
                           args.d_y.rows(), args.d_y.cols()};
  void (*kernel)(ActivationBwd<T>, FusedQuant) = activation_bwd_kernel<F, T, kWide, kFused>;
  if constexpr (F::kIsGate) {
    if (is_gated(args.kind)) kernel = gated_bwd_kernel<F, T, kWide, kFused>;
  }
  run<kFused>("activation_bwd", kernel, a, a.cols / RowPack<T, kWide>::kSize, args.d_x, args.quantized, fusion, context);
}

/// f(std::bool_constant of wide packs, std::bool_constant of fusion). f32 is never fused (fusion_of()).
template <class T, class F>
void with_variant(bool is_wide, Fusion fusion, F&& f) {
  if constexpr (sizeof(T) < sizeof(float)) {
    if (fusion != Fusion::none) return is_wide ? f(std::true_type(), std::true_type()) : f(std::false_type(), std::true_type());
  }
  is_wide ? f(std::true_type(), std::false_type()) : f(std::false_type(), std::false_type());
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
  const Fusion fusion = fusion_of(args.quantized, args.y);
  with_act("activation_fwd", args.x.dtype, [&]<class T>(T*) {
    const bool is_wide = rows_are_aligned<T>(args.y.cols(), {args.x.data, args.y.data});
    with_function(args.kind, [&]<class F>(F*) {
      with_variant<T>(is_wide, fusion, [&]<bool kWide, bool kFused>(std::bool_constant<kWide>, std::bool_constant<kFused>) {
        fwd<F, T, kWide, kFused>(args, fusion, context);
      });
    });
  });
}

void launch_activation_bwd(const ActivationBwdArgs& args, const LaunchContext& context) {
  const Fusion fusion = fusion_of(args.quantized, args.d_x);
  with_act("activation_bwd", args.x.dtype, [&]<class T>(T*) {
    const bool is_wide = rows_are_aligned<T>(args.d_y.cols(), {args.d_y.data, args.x.data, args.d_x.data});
    with_function(args.kind, [&]<class F>(F*) {
      with_variant<T>(is_wide, fusion, [&]<bool kWide, bool kFused>(std::bool_constant<kWide>, std::bool_constant<kFused>) {
        bwd<F, T, kWide, kFused>(args, fusion, context);
      });
    });
  });
}

}  // namespace mbt::cuda

// Activations of the MLP: a thread for a pack of each row, packs of 16 bytes where rows are aligned, else of one element.
//   activation_fwd_kernel, activation_bwd_kernel   y = f(x); gated: y = f(gate) * up, x = gate | up in each row
// The output is quantized on the way where that is wanted (device/output_quantizer.h); fewer threads then take several rows each, so that
// there are few maxima.
// exp is the accurate one (no -use_fast_math) and divisions are reciprocals rounded to nearest: still far from the arithmetic's limit.
#include <algorithm>

#include "kernels/cuda/device/output_quantizer.h"
#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/runtime/choose.h"
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

template <ActivationKind kKind>
struct FunctionOf;
template <>
struct FunctionOf<ActivationKind::silu> : Silu {};
template <>
struct FunctionOf<ActivationKind::swiglu> : Silu {};
template <>
struct FunctionOf<ActivationKind::gelu_tanh> : GeluTanh {};
template <>
struct FunctionOf<ActivationKind::geglu> : GeluTanh {};
template <>
struct FunctionOf<ActivationKind::gelu_erf> : GeluErf {};
template <>
struct FunctionOf<ActivationKind::relu> : Relu {};
template <>
struct FunctionOf<ActivationKind::squared_relu> : SquaredRelu {};

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

template <ActivationKind kKind, class T, bool kWide, bool kFused>
__global__ void __launch_bounds__(kThreads) activation_fwd_kernel(ActivationFwd<T> a, FusedQuant quant) {
  using P = RowPack<T, kWide>;
  using F = FunctionOf<kKind>;
  for_rows_of_pack<kFused>(P::kSize, a.rows, a.cols, quant, [&](int64_t n, int64_t c, OutputQuantizer<kFused>& quantizer) {
    if constexpr (is_gated(kKind)) {
      P gate = P::at(a.x, n * 2 * a.cols + c);
      const P up = P::at(a.x, n * 2 * a.cols + a.cols + c);
      gate.set_each([&](int k) { return F::value(gate[k]) * up[k]; });
      put_output<kFused>(gate, a.y, n * a.cols + c, quantizer);
    } else {
      P p = P::at(a.x, n * a.cols + c);
      p.set_each([&](int k) { return F::value(p[k]); });
      put_output<kFused>(p, a.y, n * a.cols + c, quantizer);
    }
  });
}

template <ActivationKind kKind, class T, bool kWide, bool kFused>
__global__ void __launch_bounds__(kThreads) activation_bwd_kernel(ActivationBwd<T> a, FusedQuant quant) {
  using P = RowPack<T, kWide>;
  using F = FunctionOf<kKind>;
  for_rows_of_pack<kFused>(P::kSize, a.rows, a.cols, quant, [&](int64_t n, int64_t c, OutputQuantizer<kFused>& quantizer) {
    P d = P::at(a.d_y, n * a.cols + c);
    if constexpr (is_gated(kKind)) {
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
    } else {
      const P p = P::at(a.x, n * a.cols + c);
      d.set_each([&](int k) { return d[k] * F::slope(p[k]); });
      put_output<kFused>(d, a.d_x, n * a.cols + c, quantizer);
    }
  });
}

/// f<ActivationKind, wide packs, fused> once. f32 is never fused (QuantizedOutput).
template <class T, class F>
auto with_instance(ActivationKind kind, bool is_wide, bool is_fused, const F& f) {
  using enum ActivationKind;
  return choose(
      [&]<ActivationKind kKind, bool kWide, bool kFused>(Is<kKind>, Is<kWide>, Is<kFused>) {
        return f.template operator() < kKind, kWide, kFused && sizeof(T)<sizeof(float)>();
      },
      OneOf<swiglu, geglu, silu, gelu_tanh, gelu_erf, relu, squared_relu>{kind}, flag(is_wide), flag(is_fused));
}

/// Over `rows` rows of outputs. A fused kernel's blocks take several rows each.
LaunchShape shape_of(int64_t rows, int64_t packs, bool is_fused, const LaunchContext& context) {
  LaunchShape shape = shape_of_rows(rows, packs);
  if (!is_fused) return shape;
  const auto rows_of_blocks = static_cast<unsigned>(kBlocksPerMultiprocessor * context.multiprocessors) / std::max(1U, shape.grid.x);
  shape.grid.y = std::clamp(rows_of_blocks, 1U, std::max(1U, shape.grid.y));
  shape.shared_bytes = sizeof(float);
  return shape;
}
int64_t blocks_of(const LaunchShape& shape) { return int64_t{shape.grid.x} * shape.grid.y; }

}  // namespace

void launch_activation_fwd(const ActivationFwdArgs& args, const LaunchContext& context) {
  QuantizedOutput y(args.y, args.quantized, context);
  with_act(op_name(args), args.x.dtype, [&]<class T>(T*) {
    const bool is_wide = rows_are_aligned<T>(args.y.cols(), {args.x.data, args.y.data});
    const ActivationFwd<T> a{args.x.as<T>(), y.plain<T>(args.y, args.keeps_y), args.y.rows(), args.y.cols()};
    const LaunchShape shape = shape_of(a.rows, a.cols / (is_wide ? RowPack<T, true>::kSize : 1), y.is_fused(), context);
    const auto kernel = with_instance<T>(args.kind, is_wide, y.is_fused(),
                                         [&]<ActivationKind kKind, bool kWide, bool kFused>() -> void (*)(ActivationFwd<T>, FusedQuant) {
                                           return activation_fwd_kernel<kKind, T, kWide, kFused>;
                                         });
    launch("activation_fwd", kernel, shape, context.stream, a, y.quant(blocks_of(shape)));
  });
  y.finish();
}

void launch_activation_bwd(const ActivationBwdArgs& args, const LaunchContext& context) {
  QuantizedOutput d_x(args.d_x, args.quantized, context);
  with_act(op_name(args), args.x.dtype, [&]<class T>(T*) {
    const bool is_wide = rows_are_aligned<T>(args.d_y.cols(), {args.d_y.data, args.x.data, args.d_x.data});
    const ActivationBwd<T> a{args.d_y.as<T>(), args.x.as<T>(), d_x.plain<T>(args.d_x, args.keeps_d_x), args.d_y.rows(), args.d_y.cols()};
    const LaunchShape shape = shape_of(a.rows, a.cols / (is_wide ? RowPack<T, true>::kSize : 1), d_x.is_fused(), context);
    const auto kernel = with_instance<T>(args.kind, is_wide, d_x.is_fused(),
                                         [&]<ActivationKind kKind, bool kWide, bool kFused>() -> void (*)(ActivationBwd<T>, FusedQuant) {
                                           return activation_bwd_kernel<kKind, T, kWide, kFused>;
                                         });
    launch("activation_bwd", kernel, shape, context.stream, a, d_x.quant(blocks_of(shape)));
  });
  d_x.finish();
}

}  // namespace mbt::cuda

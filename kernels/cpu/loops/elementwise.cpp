#include "kernels/cpu/loops/elementwise.h"

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

/// The fp32 number next to x towards 0 whose last bit is set unless x is exact: rounding it again to 16 bits rounds x itself.
float to_odd(double x) {
  const float nearest = static_cast<float>(x);
  const double back = nearest;
  const double magnitude = x < 0 ? -x : x;
  const double back_magnitude = back < 0 ? -back : back;
  const uint32_t bits = bits_of(nearest);
  const uint32_t truncated = back_magnitude > magnitude ? bits - 1 : bits;
  return float_of(back_magnitude != magnitude && x == x ? truncated | 1u : bits);
}

template <class D, class S>
D convert(S x) {
  if constexpr (__is_same(S, D)) return x;
  else if constexpr (__is_same(D, double)) return static_cast<double>(to_float(x));
  else if constexpr (!__is_same(S, double)) return from_float<D>(to_float(x));
  else if constexpr (__is_same(D, float)) return static_cast<float>(x);
  else return from_float<D>(to_odd(x));
}

template <class F>
void with_float(DType dtype, F&& f) {
  if (dtype == DType::f64) return f(static_cast<double*>(nullptr));
  with_act(dtype, f);
}

template <class S, class D>
void cast_of(const S* src, D* dst, int64_t n) {
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; ++i) dst[i] = convert<D>(src[i]);
}

template <class T>
void add_of(const T* a, const T* b, T* out, int64_t n) {
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; ++i) store(out, i, load(a, i) + load(b, i));
}

/// In double: a sum over many tokens that nearly cancels (a key bias without RoPE has gradient 0) must not be rounding noise, which Adam
/// would blow up to full steps.
template <class T>
void bias_of(const BiasBwdArgs& a, double* partials) {
  const int64_t cols = a.d_y.cols();
  const RowChunks chunks(a.d_y.rows());
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < chunks.count; ++i) {
    double* partial = partials + i * cols;
    __builtin_memset(partial, 0, static_cast<size_t>(cols) * sizeof(double));
    for (int64_t n = chunks.begin(i); n < chunks.end(i); ++n) {
      const T* row = a.d_y.as<T>() + n * cols;
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) partial[c] += load(row, c);
    }
  }
  add_partials(partials, chunks.count, cols, cols, a.d_bias.as<float>());
}

}  // namespace

void cast(const CastArgs& args) {
  with_float(args.src.dtype, [&]<class S>(S*) {
    with_float(args.dst.dtype, [&]<class D>(D*) { cast_of(args.src.as<S>(), args.dst.as<D>(), args.src.size()); });
  });
}

void add(const AddArgs& args) {
  with_act(args.a.dtype, [&]<class T>(T*) { add_of(args.a.as<T>(), args.b.as<T>(), args.out.as<T>(), args.out.size()); });
}

void bias_bwd(const BiasBwdArgs& args, double* partials) {
  with_act(args.d_y.dtype, [&]<class T>(T*) { bias_of<T>(args, partials); });
}

}  // namespace mbt::cpu::MBT_LEVEL

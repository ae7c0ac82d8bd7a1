// cast, add and bias_bwd.
//   cast_kernel, add_kernel   a thread for eight elements where the tensors are aligned, and one for each that is left over.
//   bias_bwd_kernel           sums of a tile of columns over some rows, each with what rounding took from it: a sum over many tokens that
//                             nearly cancels (a key bias without RoPE has gradient 0) must not be rounding noise, which Adam would blow up
//                             to full steps. In pairs of floats, for most GPUs have few fp64 units; only the blocks' sums, which
//                             add_partials adds up, are doubles.
// A cast has the CPU's bits, NaN included. The device's conversions drop a NaN's payload and sign, so NaN goes through its bits.
#include <algorithm>

#include "kernels/cuda/device/pack.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kCastPack = 8;    // elements
constexpr int kBiasGroups = 8;  // warps of a block, each with rows of its own

// -- conversions: each format as fp32 bits or f64, then to the other ---------------------------------------------------------------------

__device__ float widen(float x) { return x; }
__device__ float widen(Bf16 x) { return to_float(x); }
__device__ float widen(F16 x) {
  if ((x.bits & 0x7FFFU) <= 0x7C00U) return to_float(x);
  return __uint_as_float((x.bits & 0x8000U) << 16 | 0x7F800000U | (x.bits & 0x3FFU) << 13);
}
__device__ double widen_further(float x) {
  if (x == x) return static_cast<double>(x);
  const uint32_t bits = __float_as_uint(x);  // quiet, the payload at the top
  return __longlong_as_double(static_cast<long long>(static_cast<uint64_t>(bits >> 31) << 63 | 0x7FF8000000000000ULL |
                                                     static_cast<uint64_t>(bits & 0x7FFFFFU) << 29));
}

/// The payload that a narrower NaN keeps: the upper bits.
__device__ float narrow_nan(double x) {
  const uint64_t bits = static_cast<uint64_t>(__double_as_longlong(x));
  return __uint_as_float(static_cast<uint32_t>(bits >> 63) << 31 | 0x7FC00000U | static_cast<uint32_t>(bits >> 29 & 0x7FFFFFU));
}
__device__ float narrow(double x) { return x == x ? static_cast<float>(x) : narrow_nan(x); }
/// The fp32 number next to x towards 0, its last bit set unless it is x: rounding it again to 16 bits rounds x itself.
__device__ float narrow_to_odd(double x) {
  if (x != x) return narrow_nan(x);
  const float nearest = static_cast<float>(x);
  const double back = static_cast<double>(nearest);
  if (back == x) return nearest;
  const uint32_t bits = __float_as_uint(nearest);
  return __uint_as_float((fabs(back) > fabs(x) ? bits - 1 : bits) | 1U);
}

__device__ void round_to(float x, float& out) { out = x; }
__device__ void round_to(float x, Bf16& out) { out.bits = x == x ? bf16_bits(x) : static_cast<uint16_t>(__float_as_uint(x) >> 16 | 0x40U); }
__device__ void round_to(float x, F16& out) {
  const uint32_t bits = __float_as_uint(x);
  out.bits = x == x ? f16_bits(x) : static_cast<uint16_t>(bits >> 31 << 15 | 0x7E00U | (bits >> 13 & 0x3FFU));
}

template <class S, class D>
__device__ void convert(S x, D& out) {
  constexpr bool is_from_f64 = std::is_same_v<S, double>, is_to_f64 = std::is_same_v<D, double>;
  if constexpr (std::is_same_v<S, D>) out = x;
  else if constexpr (is_to_f64) out = widen_further(widen(x));
  else if constexpr (!is_from_f64) round_to(widen(x), out);
  else if constexpr (std::is_same_v<D, float>) out = narrow(x);
  else round_to(narrow_to_odd(x), out);
}

// -- kernels -----------------------------------------------------------------------------------------------------------------------------

/// The first `packs` threads take a pack each, the others one element each of the rest.
template <class S, class D>
__global__ void __launch_bounds__(kThreads) cast_kernel(const S* __restrict__ src, D* __restrict__ dst, int64_t packs, int64_t n) {
  using From = Pack<S, kCastPack>;
  using To = Pack<D, kCastPack>;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < packs) {
    const From from = From::at(src, i * kCastPack);
    To to;
#pragma unroll
    for (int k = 0; k < kCastPack; ++k) convert(from.elements[k], to.elements[k]);
    to.put(dst, i * kCastPack);
  } else if (const int64_t at = packs * kCastPack + i - packs; at < n) {
    convert(src[at], dst[at]);
  }
}

/// As cast_kernel. out may be a or b: a thread writes what it alone has read.
template <class T>
__global__ void __launch_bounds__(kThreads) add_kernel(const T* a, const T* b, T* out, int64_t packs, int64_t n) {
  using P = RowPack<T, true>;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < packs) {
    P x = P::at(a, i * P::kSize);
    const P y = P::at(b, i * P::kSize);
    x.set_each([&](int k) { return x[k] + y[k]; });
    x.put(out, i * P::kSize);
  } else if (const int64_t at = packs * P::kSize + i - packs; at < n) {
    store(out, at, load(a, at) + load(b, at));
  }
}

/// The sum of what was added, as the rounded sum and what rounding took from it: about twice fp32's precision.
struct PairSum {
  float sum, lost;

  __device__ void add(float x) {  // Knuth's TwoSum: `error` is exact, whichever is larger
    const float total = __fadd_rn(sum, x), part = __fsub_rn(total, sum);
    const float error = __fadd_rn(__fsub_rn(sum, __fsub_rn(total, part)), __fsub_rn(x, part));
    sum = total;
    lost = __fadd_rn(lost, error);
  }
  __device__ void add(const PairSum& other) {
    add(other.sum);
    lost = __fadd_rn(lost, other.lost);
  }
  /// Where the sum is infinite, what was lost is NaN.
  __device__ double value() const {
    return isfinite(sum) ? static_cast<double>(sum) + static_cast<double>(lost) : static_cast<double>(sum);
  }
};

/// A warp of columns' packs a block; blockIdx.y is the chunk of rows. partials [chunks, cols].
template <class T, bool kWide>
__global__ void __launch_bounds__(kWarp* kBiasGroups)
    bias_bwd_kernel(const T* __restrict__ d_y, double* __restrict__ partials, int64_t rows, int64_t cols, int64_t rows_per_chunk) {
  using P = RowPack<T, kWide>;
  PairSum* shared = shared_array<PairSum>(0, kBiasGroups * P::kSize * kWarp);
  const int lane = static_cast<int>(threadIdx.x), group = static_cast<int>(threadIdx.y);
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * kWarp + lane) * P::kSize;
  const int64_t begin = blockIdx.y * rows_per_chunk, end = min(begin + rows_per_chunk, rows);
  PairSum sums[P::kSize] = {};
  if (c < cols) {
#pragma unroll 4
    for (int64_t n = begin + group; n < end; n += kBiasGroups) {
      const P p = P::at(d_y, n * cols + c);
#pragma unroll
      for (int k = 0; k < P::kSize; ++k) sums[k].add(p[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < P::kSize; ++k) shared[(group * P::kSize + k) * kWarp + lane] = sums[k];  // lanes side by side: no bank twice
  __syncthreads();
  if (group != 0 || c >= cols) return;
#pragma unroll
  for (int k = 0; k < P::kSize; ++k) {
    for (int g = 1; g < kBiasGroups; ++g) sums[k].add(shared[(g * P::kSize + k) * kWarp + lane]);
    partials[blockIdx.y * cols + c + k] = sums[k].value();
  }
}

// -- launchers ---------------------------------------------------------------------------------------------------------------------------

dim3 flat_grid(int64_t threads) { return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads)); }

template <class F>
void with_float(const CastArgs& args, DType dtype, F&& f) {
  if (dtype == DType::f64) return f(static_cast<double*>(nullptr));
  with_act(op_name(args), dtype, f);
}

template <class T, bool kWide>
void bias_bwd(const BiasBwdArgs& args, const LaunchContext& context) {
  constexpr int64_t kTile = kWarp * RowPack<T, kWide>::kSize, kMostChunks = 1024, kBlocksPerMultiprocessor = 8;
  const int64_t rows = args.d_y.rows(), cols = args.d_y.cols(), tiles = (cols + kTile - 1) / kTile;
  const int64_t wanted = std::clamp<int64_t>(kBlocksPerMultiprocessor * context.multiprocessors / tiles, 1, kMostChunks);
  const int64_t rows_per_chunk = std::max<int64_t>((rows + wanted - 1) / wanted, 4 * kBiasGroups);
  const int64_t chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
  double* partials = context.scratch.get<double>(static_cast<size_t>(chunks * cols));
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(chunks)),
                          .block = dim3(kWarp, kBiasGroups),
                          .shared_bytes = sizeof(PairSum) * kBiasGroups * kTile};
  launch("bias_bwd", bias_bwd_kernel<T, kWide>, shape, context.stream, args.d_y.as<T>(), partials, rows, cols, rows_per_chunk);
  launch_add_partials(partials, chunks, cols, cols, args.d_bias.as<float>(), context);
}

}  // namespace

void launch_cast(const CastArgs& args, const LaunchContext& context) {
  if (!is_float(args.src.dtype) || !is_float(args.dst.dtype))
    throw Error(fmt::format("{}: {} to {}, expected floating-point types", op_name(args), args.src.str(), args.dst.str()));
  const int64_t n = args.src.size();
  const bool is_aligned = rows_are_aligned<uint8_t>(kAccessBytes, {args.src.data, args.dst.data});
  const int64_t packs = is_aligned ? n / kCastPack : 0;
  const LaunchShape shape{flat_grid(packs + n - packs * kCastPack), dim3(kThreads)};
  with_float(args, args.src.dtype, [&]<class S>(S*) {
    with_float(args, args.dst.dtype, [&]<class D>(D*) {
      launch("cast", cast_kernel<S, D>, shape, context.stream, args.src.as<S>(), args.dst.as<D>(), packs, n);
    });
  });
}

void launch_add(const AddArgs& args, const LaunchContext& context) {
  with_act(op_name(args), args.a.dtype, [&]<class T>(T*) {
    constexpr int kSize = RowPack<T, true>::kSize;
    const T *a = args.a.as<T>(), *b = args.b.as<T>();
    T* out = args.out.as<T>();
    const int64_t n = args.out.size(), packs = rows_are_aligned<T>(kSize, {a, b, out}) ? n / kSize : 0;
    launch("add", add_kernel<T>, {flat_grid(packs + n - packs * kSize), dim3(kThreads)}, context.stream, a, b, out, packs, n);
  });
}

void launch_bias_bwd(const BiasBwdArgs& args, const LaunchContext& context) {
  if (args.d_y.size() == 0) return;
  with_act(op_name(args), args.d_y.dtype, [&]<class T>(T*) {
    rows_are_aligned<T>(args.d_y.cols(), {args.d_y.data}) ? bias_bwd<T, true>(args, context) : bias_bwd<T, false>(args, context);
  });
}

}  // namespace mbt::cuda

// launch_quantize: checks and chooses; the kernels by kind of scaling lie in quantize_tensor.cu, quantize_blocks.cu and quantize_nvfp4.cu.
// Here the amax of a tensor (partial maxima, one a block) and the update of delayed scales.
#include <algorithm>

#include "core/numerics/scaling.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/quantize/quantize_parts.h"

namespace mbt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 4;
constexpr int kUnroll = 4;  // 16-byte loads of a thread under way

/// parts[block] = amax of the block's share of x. Rounding keeps the order of values, so the amax is rounded instead of each value.
template <class T, class H>
__global__ void __launch_bounds__(kThreads) amax_kernel(const T* __restrict__ x, int64_t n, bool is_vector, float* __restrict__ parts) {
  constexpr int kSize = Vector<T>::kSize;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, threads = static_cast<int64_t>(gridDim.x) * kThreads;
  const int64_t vectors = is_vector ? n / kSize : 0;
  float amax = 0;
  int64_t i = thread;
  for (; i + (kUnroll - 1) * threads < vectors; i += kUnroll * threads) {
    Vector<T> v[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) v[u] = Vector<T>::at(x, (i + u * threads) * kSize);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int k = 0; k < kSize; ++k) amax = fmaxf(amax, fabsf(v[u].values[k]));
    }
  }
  for (; i < vectors; i += threads) {
    const Vector<T> v = Vector<T>::at(x, i * kSize);
#pragma unroll
    for (int k = 0; k < kSize; ++k) amax = fmaxf(amax, fabsf(v.values[k]));
  }
  for (i = vectors * kSize + thread; i < n; i += threads) amax = fmaxf(amax, fabsf(load(x, i)));
  amax = block_max(amax, shared_array<float>(0, kWarp));
  if (threadIdx.x == 0) parts[blockIdx.x] = rounded<H>(amax);
}

constexpr int kReduceThreads = 1024;

/// One block; parts[0] = the largest of all.
__global__ void __launch_bounds__(kReduceThreads) reduce_maxima_kernel(float* parts, int count) {
  const float largest = block_max(largest_part<kReduceThreads>({parts, count}), shared_array<float>(0, kWarp));
  if (threadIdx.x == 0) parts[0] = largest;
}

// -- delayed scaling ---------------------------------------------------------------------------------------------------------------------

constexpr int kStrip = 32;  // tensors, and rows of the history, of a block at a time

struct UpdateShared {
  float maxima[kStrip][kStrip + 1];
};

/// As update_delayed_scale of core/numerics/scaling.h, for 32 tensors a block: thread (x, y) has every 32nd row of column x. The history
/// moves up in strips of 32 rows, all read before any is written.
__global__ void __launch_bounds__(kStrip* kStrip) delayed_update_kernel(float* history, float* scale, const float* fp8_max, int64_t length,
                                                                        int64_t n, int64_t margin, bool use_window_max) {
  auto& shared = shared_memory<UpdateShared>();
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kStrip + x;
  const bool exists = column < n;
  const float last = exists ? history[column] : 0.0F;
  float amax = last;
  if (use_window_max && exists) {
    for (int64_t j = y; j < length; j += kStrip) amax = fmaxf(amax, history[j * n + column]);
  }
  shared.maxima[y][x] = amax;
  __syncthreads();
  const bool moves = exists && last != 0;
  for (int64_t first = 1; first < length; first += kStrip) {
    const int64_t j = first + y;
    const bool is_mine = moves && j < length;
    const float next = is_mine && j + 1 < length ? history[(j + 1) * n + column] : last;
    __syncthreads();
    if (is_mine) history[j * n + column] = next;
  }
  if (!moves || y != 0) return;
  for (int k = 0; k < kStrip; ++k) amax = fmaxf(amax, shared.maxima[k][x]);
  history[column] = 0;
  scale[column] = delayed_scale(amax, scale[column], fp8_max[column], margin);
}

// -- checks ------------------------------------------------------------------------------------------------------------------------------

void check_copies(const QuantTensorView& q) {
  const QuantSpec& s = q.spec;
  for (const QuantCopy* copy : {&q.rowwise, &q.columnwise}) {
    if (copy->empty()) continue;
    MBT_CHECK(copy->scale_inv != nullptr, "a copy without a scale array");
    MBT_CHECK(s.scaling != QuantScaling::nvfp4 || copy->global_amax != nullptr, "nvfp4 without a place for the global amax");
  }
  MBT_CHECK(!q.rowwise.is_transposed && (!q.columnwise.is_transposed || s.scaling != QuantScaling::nvfp4),
            "only the column-wise copy can be transposed, and none of nvfp4");
  if (q.rowwise.empty() || q.columnwise.empty() || !s.columnwise_shares_codes()) return;
  const bool is_one = q.rowwise.codes == q.columnwise.codes;
  MBT_CHECK(is_one != q.columnwise.is_transposed && (q.columnwise.is_transposed || q.rowwise.scale_inv == q.columnwise.scale_inv),
            "two copies share their codes and scales exactly when none is transposed");
}

}  // namespace

void check_quantized_spec(const QuantTensorView& q) {
  const QuantSpec& s = q.spec;
  const bool is_nvfp4 = s.scaling == QuantScaling::nvfp4;
  MBT_CHECK(is_nvfp4 == (s.format == QuantFormat::e2m1), "{} with {}", name_of(s.scaling), name_of(s.format));
  MBT_CHECK(is_nvfp4 || (!s.stochastic_rounding && !s.hadamard_columnwise), "{} with nvfp4's rounding or transform", name_of(s.scaling));
  MBT_CHECK(!s.is_2d || !s.hadamard_columnwise, "square blocks share their codes, so there is no transformed copy");
  MBT_CHECK(!s.is_2d || !s.is_per_tensor(), "square blocks under one scale a tensor");
  check_copies(q);
}

AmaxParts launch_amax_parts(const QuantizeArgs& args, const LaunchContext& context) {
  const int64_t n = args.x.size();
  return with_source(args, [&]<class T, class H>(T*, H*) {
    const int64_t wanted = ceil_div(n, int64_t{kThreads} * Vector<T>::kSize * kUnroll);
    const int blocks = static_cast<int>(std::clamp<int64_t>(wanted, 1, context.multiprocessors * kBlocksPerMultiprocessor));
    auto* parts = context.scratch.get<float>(static_cast<size_t>(blocks));
    launch("amax", amax_kernel<T, H>, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads), kWarp * sizeof(float)}, context.stream,
           args.x.as<T>(), n, is_aligned(args.x.data, 16), parts);
    return AmaxParts{parts, blocks};
  });
}

AmaxParts few_parts(float* parts, int count, const LaunchContext& context) {
  if (count <= kMostParts) return {parts, count};
  launch("reduce_maxima", reduce_maxima_kernel, {dim3(1), dim3(kReduceThreads), kWarp * sizeof(float)}, context.stream, parts, count);
  return {parts, 1};
}

void launch_quantize(const QuantizeArgs& args, const LaunchContext& context) {
  check_quantized_spec(args.to.q);
  if (args.to.q.spec.is_per_tensor()) launch_quantize_tensor(args, context);
  else if (args.to.q.spec.scaling == QuantScaling::nvfp4) launch_quantize_nvfp4(args, context);
  else launch_quantize_blocks(args, context);
}

void launch_delayed_scaling_update(const DelayedScalingUpdateArgs& args, const LaunchContext& context) {
  const int64_t length = args.history.rows(), n = args.history.cols();
  launch("delayed_update", delayed_update_kernel,
         {dim3(static_cast<unsigned>(ceil_div(n, kStrip))), dim3(kStrip, kStrip), sizeof(UpdateShared)}, context.stream,
         args.history.as<float>(), args.scale.as<float>(), args.fp8_max.as<float>(), length, n, args.margin,
         args.algorithm == AmaxAlgorithm::max);
}

}  // namespace mbt::cuda

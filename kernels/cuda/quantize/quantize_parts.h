// What the files of quantize share: how the source is read, partial maxima of a tensor, and the launchers by kind of scaling.
#pragma once

#include "kernels/cuda/device/element.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// The largest of the thread's share of the parts. Several loads are under way at once: each block of a large tensor looks at all parts.
template <int kThreads>
__device__ inline float largest_part(const AmaxParts& amax) {
  constexpr int kLoads = 4;
  float largest = 0;
  for (int first = static_cast<int>(threadIdx.x); first < amax.count; first += kLoads * kThreads) {
    float part[kLoads];
#pragma unroll
    for (int u = 0; u < kLoads; ++u) part[u] = first + u * kThreads < amax.count ? amax.parts[first + u * kThreads] : 0.0F;
#pragma unroll
    for (int u = 0; u < kLoads; ++u) largest = fmaxf(largest, part[u]);
  }
  return largest;
}

/// Of x, after rounding, by a pass of its own; `parts` lie in context.scratch.
AmaxParts launch_amax_parts(const QuantizeArgs& args, const LaunchContext& context);
/// Those that context knows, else by a pass.
inline AmaxParts amax_parts(const QuantizeArgs& args, const LaunchContext& context) {
  return context.known_amax.count > 0 ? context.known_amax : launch_amax_parts(args, context);
}

/// The same maximum in at most kMostParts parts. Every block of a cast reads all of them, so that many (attention has one for each 128
/// queries of a head) become one first, which takes the place of parts[0].
inline constexpr int kMostParts = 1024;
AmaxParts few_parts(float* parts, int count, const LaunchContext& context);

/// Throws for what no kernel could write: formats and scalings that do not go together, arrays that are missing or should be shared.
void check_quantized_spec(const QuantTensorView& q);

// quantize_tensor.cu: one scale a tensor
void launch_quantize_tensor(const QuantizeArgs& args, const LaunchContext& context);
/// The transposed column-wise copy, from the row-wise codes: one byte read an element where x would be two.
void launch_transposed_copy(const QuantOutput& to, const LaunchContext& context);
// quantize_blocks.cu
void launch_quantize_blocks(const QuantizeArgs& args, const LaunchContext& context);
// quantize_nvfp4.cu
void launch_quantize_nvfp4(const QuantizeArgs& args, const LaunchContext& context);

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
/// The slot that receives the amax; null: none wanted.
inline float* staged_amax(const QuantOutput& to) { return to.stage_amax ? to.q.amax : nullptr; }
inline bool is_aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

/// f(T*, H*): x lies in memory as T and counts as H.
template <class F>
auto with_source(const QuantizeArgs& args, F&& f) {
  float* const f32 = nullptr;
  Bf16* const bf16 = nullptr;
  F16* const f16 = nullptr;
  if (args.x.dtype == DType::bf16) return f(bf16, bf16);
  if (args.x.dtype == DType::f16) return f(f16, f16);
  MBT_CHECK(args.x.dtype == DType::f32, "quantize: x is {}, expected f32, bf16 or f16", name_of(args.x.dtype));
  if (args.round_to == DType::bf16) return f(f32, bf16);
  if (args.round_to == DType::f16) return f(f32, f16);
  return f(f32, f32);
}

}  // namespace mbt::cuda

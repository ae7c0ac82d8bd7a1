// The two ways to compute attention on the device; attention.cu chooses.
#pragma once

#include "kernels/cuda/device/output_quantizer.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// Any head width and activation dtype (attention_general.cu).
void launch_attention_general_fwd(const AttentionFwdArgs& args, const LaunchContext& context);
void launch_attention_general_bwd(const AttentionBwdArgs& args, const LaunchContext& context);

template <MmaInput kInputChoice, int kWidthChoice>
struct FlashChoice {
  static constexpr MmaInput kInput = kInputChoice;
  static constexpr int kWidth = kWidthChoice;
};
/// f(FlashChoice) of what the tensor cores serve; `op` names the caller in the Error otherwise.
template <class F>
void with_flash(const char* op, DType dtype, int64_t width, F&& f) {
  const bool is_bf16 = dtype == DType::bf16;
  MBT_CHECK((is_bf16 || dtype == DType::f16) && (width == 64 || width == 128), op, ": ", name_of(dtype), ", head width ", width);
  if (is_bf16 && width == 64) return f(FlashChoice<MmaInput::bf16, 64>{});
  if (is_bf16) return f(FlashChoice<MmaInput::bf16, 128>{});
  if (width == 64) return f(FlashChoice<MmaInput::f16, 64>{});
  f(FlashChoice<MmaInput::f16, 128>{});
}

/// What the tensor cores' kernels hand to tile::store_rows(): eight elements of `output`, which is `from` further, are quantized too. The
/// choice is made at run time: it costs nothing beside the products, and each of these kernels takes long to compile.
template <MmaInput kInput>
struct QuantizeStored {
  using Element = std::conditional_t<kInput == MmaInput::bf16, Bf16, F16>;
  OutputQuantizer<true>& quantizer;
  int64_t from;
  __device__ void operator()(const uint4& bytes, int64_t offset) const {
    if (!quantizer.to.is_wanted()) return;
    Pack<Element, 8> pack;
    pack.raw[0] = bytes;
    quantizer.add(pack, from + offset);
  }
};

/// One head of one sequence's rows: element `row * stride + d` of a pointer that stands on its first row and column.
template <class T>
struct HeadRows {
  T* data;
  int64_t stride;
  __device__ T* row(int64_t r) const { return data + r * stride; }
};

/// Where the heads of a fused QKV tensor stand. In ints: kernels short of registers hold it.
struct HeadLayout {
  int heads, kv_heads, width;
  __device__ int group() const { return heads / kv_heads; }
  __host__ __device__ int q(int head) const { return head * width; }
  __host__ __device__ int k(int kv_head) const { return (heads + kv_head) * width; }
  __host__ __device__ int v(int kv_head) const { return (heads + kv_heads + kv_head) * width; }
  __host__ __device__ int cols() const { return (heads + 2 * kv_heads) * width; }
};
template <class Args>
HeadLayout layout_of(const Args& args) {
  return {static_cast<int>(args.num_heads), static_cast<int>(args.num_kv_heads), static_cast<int>(args.head_dim())};
}

inline bool is_aligned_16(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

}  // namespace mbt::cuda

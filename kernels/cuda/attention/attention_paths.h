// What the kernels of attention share.
#pragma once

#include "kernels/cuda/device/output_quantizer.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/runtime/choose.h"

namespace mbt::cuda {

/// Throws Error unless the tensor cores serve such operands.
template <class Args>
void expect_flash(const Args& args) {
  const DType dtype = args.qkv.dtype;
  const int64_t width = args.head_dim();
  MBT_CHECK((dtype == DType::bf16 || dtype == DType::f16) && (width == 64 || width == 128), "{}: {}, head width {}", op_name(args),
            name_of(dtype), width);
}
using FlashInputs = OneOf<MmaInput::bf16, MmaInput::f16>;
using FlashWidths = OneOf<64, 128>;
inline MmaInput flash_input(DType dtype) { return dtype == DType::bf16 ? MmaInput::bf16 : MmaInput::f16; }

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

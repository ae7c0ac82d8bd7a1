// The host's side of outputs that their own kernels quantize, as far as they can (core/ops/quant_output.h).
#pragma once

#include "kernels/cuda/quantize/quantize_parts.h"

namespace mbt::cuda {

/// What kernels get (device/output_quantizer.h).
struct FusedQuant {
  uint8_t* codes = nullptr;  ///< [rows, cols] in the output's order; null: only maxima are wanted
  const float* scale = nullptr;
  float* row_scale_inv = nullptr;
  float* column_scale_inv = nullptr;
  float* amax = nullptr;   ///< of codes: the staging slot, or null
  float* parts = nullptr;  ///< [blocks of the kernel]: the maximum of each block's share; null: not wanted
  QuantFormat format = QuantFormat::e4m3;
  bool is_vector = false;  ///< codes are aligned to 8 bytes

  __host__ __device__ bool is_wanted() const { return codes != nullptr || parts != nullptr; }
};

/// How much of an output's quantization the kernel that makes it does.
enum class Fusion : uint8_t {
  none,   ///< blockwise and mxfp8 need no amax of the tensor; transformed nvfp4 copies need one that only rows of 16 have; f32
  amax,   ///< partial maxima
  codes,  ///< delayed scaling: all but a transposed copy
};

/// An op's output, as its launcher sees it: what the kernel that makes it does of its quantization, then what is left.
class QuantizedOutput {
 public:
  /// x: the output. Throws as `quantize` would.
  QuantizedOutput(const ConstTensorView& x, const QuantOutput& to, const LaunchContext& context);

  /// The kernel has a part in it, so its fused instance is the one to launch. Never with f32.
  bool is_fused() const { return fusion_ != Fusion::none; }
  /// The maxima of the kernel's blocks are wanted.
  bool wants_maxima() const { return fusion_ == Fusion::amax; }
  /// Where the kernel stores the plain output; null: nowhere, only its codes are wanted. keeps: the op's flag.
  template <class T>
  T* plain(const TensorView& x, bool keeps) const {
    return fusion_ == Fusion::codes && !keeps ? nullptr : x.as<T>();
  }
  /// For a kernel of `blocks` blocks. maxima: [blocks] where the launcher has scratch of its own; null: they come from context.scratch.
  FusedQuant quant(int64_t blocks, float* maxima = nullptr);
  /// Once x is written: nothing, or a transposition of the codes, or `quantize`, with the maxima where they are known.
  void finish() const;

 private:
  ConstTensorView x_;
  const QuantOutput& to_;
  const LaunchContext& context_;
  Fusion fusion_;
  float* maxima_ = nullptr;  // what the kernel's blocks write
  int maxima_count_ = 0;
};

/// For kernels that have no part in it: `quantize`, where it is wanted.
void launch_quantize_output(const ConstTensorView& x, const QuantOutput& to, const LaunchContext& context);

}  // namespace mbt::cuda

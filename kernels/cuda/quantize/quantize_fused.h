// The host's side of outputs that their own kernels quantize, as far as they can (core/ops/quant_output.h).
#pragma once

#include "kernels/cuda/quantize/quantize_parts.h"

namespace mbt::cuda {

/// How much of an output's quantization the kernel that makes it does.
enum class Fusion : uint8_t {
  none,   ///< blockwise and mxfp8 need no amax of the tensor; transformed nvfp4 copies need one that only rows of 16 have; f32
  amax,   ///< partial maxima
  codes,  ///< delayed scaling: all but a transposed copy
};

/// Of the output `x` of an op. Throws as `quantize` would.
Fusion fusion_of(const QuantOutput& to, const ConstTensorView& x);

/// What kernels get (device/output_quantizer.h).
struct FusedQuant {
  uint8_t* codes = nullptr;  ///< [rows, cols] in the output's order; null: only maxima are wanted
  const float* scale = nullptr;
  float* row_scale_inv = nullptr;
  float* column_scale_inv = nullptr;
  float* amax = nullptr;   ///< of codes: the staging slot, or null
  float* parts = nullptr;  ///< [blocks of the kernel]: the maximum of each block's share; null: not wanted
  bool is_e5m2 = false;
  bool is_vector = false;  ///< codes are aligned to 8 bytes

  __host__ __device__ bool is_wanted() const { return codes != nullptr || parts != nullptr; }
};

/// parts: memory for the partial maxima, for Fusion::amax.
FusedQuant fused_quant(const QuantOutput& to, Fusion fusion, float* parts);

/// What is left to do when `x` is written: nothing, or a transposition of the codes, or `quantize`, with the maxima where they are known.
void launch_rest_of_quantize(const ConstTensorView& x, const QuantOutput& to, Fusion fusion, AmaxParts parts, const LaunchContext& context);

}  // namespace mbt::cuda

// Vocabulary of quantization: how one operand of a linear layer's GEMM is stored in few bits.
// Sources of every rule: docs/mixed-precision.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/numerics/quant_format.h"

namespace mbt {

/// Where the scale comes from and how far it reaches.
enum class QuantScaling : uint8_t {
  delayed,     ///< one fp32 scale a tensor, from the amax history of earlier steps
  tensorwise,  ///< one fp32 scale a tensor, from its amax now ("current scaling")
  blockwise,   ///< power-of-two fp32 scale for each 1x128 block (or 128x128: QuantSpec::is_2d)
  mxfp8,       ///< E8M0 scale for each block of 32
  nvfp4,       ///< E4M3 scale for each block of 16 (or 16x16: is_2d) under one fp32 scale a tensor
};

/// Which tensor of a linear layer Y[M,N] = X[M,K] W[N,K]^T.
enum class TensorRole : uint8_t { input, weight, grad_output };

/// One operand's quantization. The row-wise copy has its blocks along the last dimension, the column-wise copy along the first.
struct QuantSpec {
  QuantFormat format = QuantFormat::e4m3;  ///< of the codes
  QuantScaling scaling = QuantScaling::tensorwise;
  bool is_2d = false;                ///< square blocks (weights): row-wise and column-wise codes are then the same
  bool stochastic_rounding = false;  ///< nvfp4 gradients
  bool hadamard_columnwise = false;  ///< nvfp4: 16-point random Hadamard transform before the column-wise copy
  bool power_of_two_scale = false;   ///< tensorwise option; blockwise always rounds its scale down to 2^k

  bool operator==(const QuantSpec&) const = default;

  /// Elements that share one scale along the blocked dimension; 0: the whole tensor.
  int64_t block_size() const {
    switch (scaling) {
      case QuantScaling::blockwise: return 128;
      case QuantScaling::mxfp8: return 32;
      case QuantScaling::nvfp4: return 16;
      case QuantScaling::delayed:
      case QuantScaling::tensorwise: return 0;
    }
    return 0;
  }
  bool is_per_tensor() const { return block_size() == 0; }
  /// True when the column-wise copy holds the very codes of the row-wise one (per-tensor scaling, square blocks).
  bool columnwise_shares_codes() const { return is_per_tensor() || is_2d; }
  /// Bytes of one entry of the scale array: fp32, or one byte for E8M0 and E4M3.
  int64_t scale_bytes() const { return scaling == QuantScaling::mxfp8 || scaling == QuantScaling::nvfp4 ? 1 : 4; }
};

constexpr std::string_view name_of(QuantScaling s) {
  switch (s) {
    case QuantScaling::delayed: return "delayed";
    case QuantScaling::tensorwise: return "tensorwise";
    case QuantScaling::blockwise: return "blockwise";
    case QuantScaling::mxfp8: return "mxfp8";
    case QuantScaling::nvfp4: return "nvfp4";
  }
  return "?";
}
constexpr std::string_view name_of(TensorRole r) {
  return r == TensorRole::input ? "input" : r == TensorRole::weight ? "weight" : "grad_output";
}

}  // namespace mbt

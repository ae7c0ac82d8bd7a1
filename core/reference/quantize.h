// Quantization element by element from the rules of core/numerics: what every backend must reproduce bit for bit.
#pragma once

#include <cstdint>
#include <vector>

#include "core/quant/quant_tensor.h"

namespace mbt::ref {

/// One copy with its memory. `view()` of two of them makes a QuantTensorView.
struct OwnedCopy {
  std::vector<uint8_t> codes;
  std::vector<uint8_t> scale_inv;  // raw bytes
  float global_amax = 0;

  OwnedCopy() = default;
  OwnedCopy(const QuantSpec& spec, int64_t rows, int64_t cols, bool columnwise);
  QuantCopy view();
  float scale_f32(size_t i) const;
  bool operator==(const OwnedCopy&) const = default;
};

struct ReferenceArgs {
  const std::vector<float>& x;  // [rows, cols], after conversion to fp32
  int64_t rows;
  int64_t cols;
  QuantSpec spec;
  bool columnwise = false;
  float delayed_scale = 1.0F;
  uint64_t seed = 0;
  uint64_t stream = 0;
};

OwnedCopy reference_quantize(const ReferenceArgs& args);
}  // namespace mbt::ref

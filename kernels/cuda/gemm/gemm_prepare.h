// From the operands of core/ops/gemm.h to those of a Product: codes as they lie, decoded or packed, scales in cuBLASLt's order.
#pragma once

#include "kernels/cuda/gemm/gemm_rules.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// How the tensor of one operand is cut: [outer, summed], or [summed, outer] when the column-wise copy is read. outer: rows of D for a,
/// columns for b.
struct GemmSide {
  const QuantSpec* spec;  // null: plain
  bool is_columnwise;
  int64_t outer, summed;
};
struct GemmSides {
  GemmSide a, b;
};
GemmSides sides_of(const GemmArgs& args);
GemmSides sides_of(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b);

/// Bytes of scratch that a product takes; each part is a multiple of 256.
struct PreparedBytes {
  size_t a_data = 0, b_data = 0, a_scale = 0, b_scale = 0, scalars = 0;
  size_t sum = 0, bias = 0;  // f32: cuBLASLt rounds no product of bf16 operands to f16
  size_t total() const { return a_data + b_data + a_scale + b_scale + scalars + sum + bias; }
};
PreparedBytes prepared_bytes(ProductPath path, const GemmSides& sides, DType d, bool has_bias);

struct Prepared {
  Product product;
  TensorView sum = {};  // f32: what the product writes, to be cast to the result; empty: the product writes the result itself
};
/// Launches what the operands need before the product, in context.scratch, and describes the product.
Prepared prepare(const GemmArgs& args, ProductPath path, const GemmDevice& device, const LaunchContext& context);

}  // namespace mbt::cuda

// Which operands a device and its cuBLASLt multiply as they are, and which only decoded. From cuBLAS's documentation ("Narrow Precision
// Data Types Usage" and the tables of cublasLtMatmul):
//   scale mode                   compute capability
//   one scale a tensor           8.9 and newer
//   128 and 128x128, f32         9.0 alone, since cuBLAS 12.9
//   32, E8M0 and 16, E4M3        10.0 and newer, since cuBLAS 12.8; here 12.9, see kVersionOf32And16
// FP8 on 8.9, 9.0 and 12.x and FP4 anywhere: both operands contiguous along the sum. E5M2 by E5M2 does not exist.
#pragma once

#include "core/backend/backend.h"
#include "kernels/cuda/gemm/gemm_product.h"

namespace mbt::cuda {

/// What the rules depend on.
struct GemmDevice {
  int capability;          ///< 90 for 9.0
  size_t library_version;  ///< of cuBLASLt: 120900 for 12.9.0

  bool takes_fp8_in_any_layout() const { return capability >= 100 && capability < 120; }
};

/// How a product of two operands is given to cuBLASLt.
enum class ProductPath : uint8_t {
  plain,
  fp8_tensor,  ///< FP8, one scale a tensor
  fp8_128,     ///< FP8, f32 scales of 1x128 and 128x128 blocks
  fp8_32,      ///< FP8, E8M0 scales of 32 elements; blocks of 128 as four of 32 with the same scale
  fp4_16,      ///< FP4, E4M3 scales of 16 elements, the tensor's factor in alpha
  decoded,     ///< bf16 values of the codes, per-tensor factors in alpha
};

/// Null specs: plain operands. Both or none.
ProductPath path_of(const GemmDevice& device, const QuantSpec* a, const QuantSpec* b);

/// Backend::gemm_support, wants_transposed and gemm_size_problem.
GemmSupport support_of(const GemmDevice& device, const QuantSpec* a, const QuantSpec* b, DType act);
bool wants_transposed(const GemmDevice& device, const QuantSpec& spec);
std::string size_problem(const GemmDevice& device, const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act);

/// Extents of a product of row-major tensors: D[rows, cols].
struct GemmExtents {
  int64_t rows, cols, summed;
};
GemmExtents extents_of(const GemmShape& shape);
/// Why cuBLASLt takes no product of these extents on this path; empty: it does.
std::string extents_problem(ProductPath path, const GemmExtents& e, DType d);

}  // namespace mbt::cuda

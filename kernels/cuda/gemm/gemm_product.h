// What one call of cublasLtMatmul computes, as a value: it is made without cuBLASLt (gemm.h) and executed by it (gemm_cublaslt.cpp) or, on
// the emulated device, by a twin that knows cuBLASLt's contract (tests/emulation/gemm).
//
// cuBLASLt is column-major: a row-major [R,C] tensor is a C x R matrix with leading dimension C, so for D = A B it is given B first:
//   role   D (column-major)   first operand   second operand
//   fprop  N x M              W, transposed   X
//   dgrad  K x M              W               dY
//   wgrad  K x N              X               dY, transposed
// An operand whose summed dimension is contiguous is "first transposed" or "second not"; some devices take FP8 so alone ("TN").
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/numerics/quant_format.h"
#include "core/tensor/dtype.h"

namespace mbt::cuda {

/// What a matrix holds: elements of a dtype, or codes of a format; those of 4 bits two a byte, the first in the low nibble. Implicit from
/// both, so that descriptions read naturally.
struct ElementType {
  DType dtype;                             ///< u8: codes
  QuantFormat format = QuantFormat::e4m3;  ///< of codes

  constexpr ElementType(DType d) : dtype(d) {}                           // NOLINT
  constexpr ElementType(QuantFormat f) : dtype(DType::u8), format(f) {}  // NOLINT
  bool operator==(const ElementType&) const = default;
  constexpr bool is_codes() const { return dtype == DType::u8; }
};

/// cublasLtMatmulMatrixScale_t, and none. `scale` multiplies to restore. With L blocks along the sum and an operand of `outer` rows of D:
///   scalar_32f      f32 [1]
///   vec128_32f      f32 [L][outer]: 128 elements along the sum
///   blk128x128_32f  f32 [ceil(outer/128)][L rounded up to 4]: squares
///   vec32_ue8m0     E8M0 in tiles of 128 outer x 4 blocks (tiled_scale_offset): 32 elements along the sum
///   vec16_ue4m3     E4M3 in the same tiles: 16 elements along the sum
enum class ScaleMode : uint8_t { none, scalar_32f, vec16_ue4m3, vec32_ue8m0, vec128_32f, blk128x128_32f };

constexpr std::string_view name_of(ElementType t) { return t.is_codes() ? name_of(t.format) : name_of(t.dtype); }
constexpr const char* name_of(ScaleMode m) {
  constexpr const char* names[] = {"none", "scalar_32f", "vec16_ue4m3", "vec32_ue8m0", "vec128_32f", "blk128x128_32f"};
  return names[static_cast<int>(m)];
}
constexpr int64_t bits_of(ElementType t) { return t.is_codes() ? bits_of(t.format) : 8 * size_of(t.dtype); }
constexpr bool is_fp8(ElementType t) { return t.is_codes() && is_fp8(t.format); }

/// A column-major matrix; op(matrix) is multiplied.
struct ProductMatrix {
  const void* data;
  ElementType type;
  int64_t rows, cols, ld;
  bool is_transposed;
  ScaleMode scale_mode = ScaleMode::none;
  const void* scale = nullptr;  // device
};

/// D[m,n] = alpha op(first)[m,k] op(second)[k,n] + beta D + bias[m]: sums in fp32, rounded once to D's type.
struct Product {
  ProductMatrix first, second;
  void* d;
  ElementType d_type;
  int64_t m, n, k;  // D is dense: its leading dimension is m
  const void* bias = nullptr;
  ElementType bias_type = DType::f32;
  bool accumulates = false;           // beta 1, else 0
  const float* alpha_beta = nullptr;  // device: alpha, then beta; null: alpha 1
  bool fast_accumulation = false;
};

/// Where the scale of row `outer` of D and block `inner` along the sum lies among `inners` blocks: tiles of 128 x 4 bytes, one after the
/// other along the sum.
constexpr int64_t tiled_scale_offset(int64_t outer, int64_t inner, int64_t inners) {
  const int64_t tiles = (inners + 3) / 4;
  return (outer / 128 * tiles + inner / 4) * 512 + outer % 32 * 16 + outer % 128 / 32 * 4 + inner % 4;
}

/// Elements along the sum that share a scale; 0: all.
constexpr int64_t block_of(ScaleMode m) {
  switch (m) {
    case ScaleMode::vec16_ue4m3: return 16;
    case ScaleMode::vec32_ue8m0: return 32;
    case ScaleMode::vec128_32f:
    case ScaleMode::blk128x128_32f: return 128;
    case ScaleMode::none:
    case ScaleMode::scalar_32f: return 0;
  }
  return 0;
}

/// Of the scale array of an operand with `outer` rows of D and `k` summed elements.
int64_t scale_bytes(ScaleMode mode, int64_t outer, int64_t k);

/// The largest power of two, at most 256, that divides the address.
int alignment_of(const void* p);

/// Everything that the choice of an algorithm depends on: types, extents, options and alignments, no addresses.
using ProductKey = std::array<int64_t, 19>;
ProductKey key_of(const Product& p);
/// The same for people and files: "e4m3 [1024x4096]^T scalar_32f, e4m3 [1024x8192] scalar_32f -> bf16 [4096x8192], ...".
std::string describe(const Product& p);

}  // namespace mbt::cuda

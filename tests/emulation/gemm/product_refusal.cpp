// cuBLASLt's conditions, from the documentation of cublasLtMatmul ("Datatypes Supported" and the lists above its tables of FP8 and FP4
// kernels), of tensor core usage and of the scale modes. For f32 scales of 128 also what Transformer Engine found refused and checks before
// it calls cuBLASLt (cublaslt_gemm.cu, CanonicalizeGemmInput). Written from there, not from kernels/cuda/gemm/gemm_rules.cpp.
#include "tests/emulation/gemm/product_twin.h"

namespace mbt::cuda {
namespace {

using enum DType;
using enum QuantFormat;
using enum ScaleMode;

bool is_tn(const Product& p) { return p.first.is_transposed && !p.second.is_transposed; }
bool is_128(ScaleMode m) { return m == vec128_32f || m == blk128x128_32f; }
int64_t row_bytes(const ProductMatrix& m, int64_t elements) { return elements * bits_of(m.type) / 8; }

std::string wrong_shape(const Product& p) {
  const auto is = [](const ProductMatrix& x, int64_t rows, int64_t cols) {
    return (x.is_transposed ? x.cols : x.rows) == rows && (x.is_transposed ? x.rows : x.cols) == cols && x.ld >= x.rows;
  };
  if (p.m <= 0 || p.n <= 0 || p.k <= 0) return "an empty matrix";
  if (!is(p.first, p.m, p.k)) return "first is not m x k";
  if (!is(p.second, p.k, p.n)) return "second is not k x n";
  if (p.first.data == nullptr || p.second.data == nullptr || p.d == nullptr) return "a null pointer";
  return {};
}

std::string wrong_plain_types(const Product& p) {
  const ElementType t = p.first.type;
  if (p.second.type != t) return "operands of two types";
  if (p.first.scale_mode != none || p.second.scale_mode != none) return "scales of plain operands";
  if (p.d_type != t && p.d_type != f32) return fmt::format("no product of {} operands into {}", name_of(t), name_of(p.d_type));
  if (p.bias != nullptr && p.bias_type != p.d_type) return fmt::format("bias {} with D {}", name_of(p.bias_type), name_of(p.d_type));
  return p.fast_accumulation ? "fast accumulation of operands that are not FP8" : "";
}

/// Of FP8 and FP4 kernels: D in 16 or 32 bits, a bias of D's type, bf16 where D is f32.
std::string wrong_narrow_types(const Product& p) {
  if (p.d_type != f32 && p.d_type != bf16 && p.d_type != f16) return "D is not f32, bf16 or f16";
  const ElementType bias = p.d_type == f32 ? bf16 : p.d_type;
  if (p.bias != nullptr && p.bias_type != bias) return fmt::format("bias {}, expected {}", name_of(p.bias_type), name_of(bias));
  if (p.first.type == e5m2 && p.second.type == e5m2) return "e5m2 by e5m2";
  if (p.fast_accumulation && p.first.scale_mode != scalar_32f) return "fast accumulation with scales of blocks";
  return {};
}

/// "Pointers and matrix dimensions must support 16-byte alignment": the conditions of tensor core usage.
std::string wrong_alignment(const Product& p) {
  for (const void* pointer : {p.first.data, p.second.data, static_cast<const void*>(p.d)})
    if (alignment_of(pointer) < 16) return "a pointer that is not aligned to 16 bytes";
  if (row_bytes(p.first, p.first.is_transposed ? p.k : p.m) % 16 != 0) return "first: rows of op N, or k of op T, no multiple of 16 bytes";
  if (row_bytes(p.second, p.second.is_transposed ? p.n : p.k) % 16 != 0)
    return "second: k of op N, or columns of op T, no multiple of 16 bytes";
  if (p.m * bits_of(p.d_type) / 8 % 16 != 0) return "D: rows no multiple of 16 bytes";
  if (row_bytes(p.first, p.first.ld) % 16 != 0 || row_bytes(p.second, p.second.ld) % 16 != 0)
    return "a leading dimension no multiple of 16 bytes";
  return {};
}

std::string wrong_scales(const Product& p, const GemmDevice& device) {
  const ScaleMode a = p.first.scale_mode, b = p.second.scale_mode;
  for (const ProductMatrix* m : {&p.first, &p.second}) {
    if (m->scale == nullptr) return "no scale";
    if (alignment_of(m->scale) < (m->scale_mode == scalar_32f ? 4 : 16)) return "a scale that is not aligned to 16 bytes";
  }
  if (a == scalar_32f && b == scalar_32f) return device.capability >= 89 ? "" : "FP8 before 8.9";
  if (is_128(a) && is_128(b)) {
    if (device.capability != 90) return "f32 scales of 128 on other devices than 9.0";
    if (device.library_version < 120900) return "f32 scales of 128 before cuBLAS 12.9";
    if (a == blk128x128_32f && b == blk128x128_32f) return "squares by squares";
    if (p.m % 8 != 0) return "m no multiple of 8";
    return b == vec128_32f && p.n % 8 != 0 ? "n no multiple of 8, and the second operand has a scale a line" : "";
  }
  if (a != b || (a != vec32_ue8m0 && a != vec16_ue4m3)) return fmt::format("scale modes {} and {}", name_of(a), name_of(b));
  if (device.capability < 100) return fmt::format("{} before 10.0", name_of(a));
  if (device.library_version < 120800) return fmt::format("{} before cuBLAS 12.8", name_of(a));
  return p.k % block_of(a) != 0 ? "k no multiple of the block" : "";
}

std::string wrong_fp8(const Product& p, const GemmDevice& device) {
  if (!is_fp8(p.second.type)) return "FP8 by another type";
  if (p.first.scale_mode == vec16_ue4m3) return "FP8 with scales of 16";
  const bool needs_tn = device.capability < 100 || device.capability / 10 == 12;
  return needs_tn && !is_tn(p) ? "FP8 operands must be first transposed, second not" : "";
}

std::string wrong_fp4(const Product& p) {
  if (p.second.type != e2m1) return "FP4 by another type";
  if (p.first.scale_mode != vec16_ue4m3) return "FP4 without scales of 16";
  if (p.fast_accumulation) return "fast accumulation of operands that are not FP8";
  return is_tn(p) ? "" : "FP4 operands must be first transposed, second not";
}

}  // namespace

std::string refusal(const Product& p, const GemmDevice& device) {
  if (std::string problem = wrong_shape(p); !problem.empty()) return problem;
  const bool fp8 = is_fp8(p.first.type), fp4 = p.first.type == e2m1;
  if (!fp8 && !fp4) return wrong_plain_types(p);
  for (std::string problem :
       {wrong_narrow_types(p), fp8 ? wrong_fp8(p, device) : wrong_fp4(p), wrong_scales(p, device), wrong_alignment(p)})
    if (!problem.empty()) return problem;
  return {};
}

}  // namespace mbt::cuda

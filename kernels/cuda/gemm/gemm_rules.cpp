#include "kernels/cuda/gemm/gemm_rules.h"

namespace mbt::cuda {
namespace {

/// cuBLASLt has scales of 32 and 16 since 12.8, but its heuristic's cache confuses MXFP8 products until 12.9.
constexpr size_t kVersionOf32And16 = 120900, kVersionOf128 = 120900;

bool has_scaling(const QuantSpec& a, const QuantSpec& b, QuantScaling s) { return a.scaling == s && b.scaling == s; }

/// Of operands that are FP8 and scaled alike.
ProductPath fp8_path(const GemmDevice& device, const QuantSpec& a, const QuantSpec& b) {
  const bool has_32 = device.capability >= 100 && device.library_version >= kVersionOf32And16;
  const bool has_128 = device.capability == 90 && device.library_version >= kVersionOf128;
  if (a.is_per_tensor() && b.is_per_tensor()) return device.capability >= 89 ? ProductPath::fp8_tensor : ProductPath::decoded;
  if (has_scaling(a, b, QuantScaling::blockwise) && has_128 && !(a.is_2d && b.is_2d)) return ProductPath::fp8_128;
  if ((has_scaling(a, b, QuantScaling::blockwise) || has_scaling(a, b, QuantScaling::mxfp8)) && has_32) return ProductPath::fp8_32;
  return ProductPath::decoded;
}

std::string version_text(size_t v) { return fmt::format("cuBLASLt {}.{}", v / 10000, v / 100 % 100); }

/// Why operands scaled so are decoded: the device, or the library that is too old for it.
std::string why_decoded(const GemmDevice& device, const QuantSpec& a, const QuantSpec& b) {
  const std::string here = fmt::format("compute capability {}.{}", device.capability / 10, device.capability % 10);
  if (a.format == QuantFormat::e5m2 && b.format == QuantFormat::e5m2) return "there are no products of e5m2 by e5m2";
  if (a.is_per_tensor() != b.is_per_tensor() || (!a.is_per_tensor() && a.scaling != b.scaling))
    return fmt::format("no products of {} by {} operands", name_of(a.scaling), name_of(b.scaling));
  if (a.is_per_tensor()) return fmt::format("{} has no FP8 products (8.9 and newer have)", here);
  if (a.scaling == QuantScaling::blockwise && device.capability == 90)
    return device.library_version < kVersionOf128
               ? fmt::format("{} has no products of blocks of 128 (12.9 has)", version_text(device.library_version))
               : "no products of square by square blocks";
  if (device.capability >= 100)
    return fmt::format("{} has no products of blocks of {} that can be relied on (12.9 has)", version_text(device.library_version),
                       a.block_size() == 16 ? 16 : 32);
  return fmt::format("{} has no products of {} operands ({}10.0 and newer have)", here, name_of(a.scaling),
                     a.scaling == QuantScaling::blockwise ? "9.0, " : "");
}

const char* how_native(ProductPath path, const QuantSpec& a) {
  switch (path) {
    case ProductPath::fp8_tensor: return "cuBLASLt FP8 GEMM, one scale a tensor";
    case ProductPath::fp8_128: return "cuBLASLt FP8 GEMM, fp32 scales of blocks of 128";
    case ProductPath::fp8_32:
      return a.scaling == QuantScaling::blockwise ? "cuBLASLt FP8 GEMM, blocks of 128 as four of 32 with E8M0 scales"
                                                  : "cuBLASLt FP8 GEMM, E8M0 scales of blocks of 32";
    case ProductPath::fp4_16: return "cuBLASLt FP4 GEMM, E4M3 scales of blocks of 16";
    case ProductPath::plain:
    case ProductPath::decoded: break;
  }
  return "";
}

}  // namespace

ProductPath path_of(const GemmDevice& device, const QuantSpec* a, const QuantSpec* b) {
  if (a == nullptr) return ProductPath::plain;
  if (is_fp8(a->format) && is_fp8(b->format) && !(a->format == QuantFormat::e5m2 && b->format == QuantFormat::e5m2))
    return fp8_path(device, *a, *b);
  const bool has_fp4 = device.capability >= 100 && device.library_version >= kVersionOf32And16;
  return has_scaling(*a, *b, QuantScaling::nvfp4) && has_fp4 ? ProductPath::fp4_16 : ProductPath::decoded;
}

GemmSupport support_of(const GemmDevice& device, const QuantSpec* a, const QuantSpec* b, DType act) {
  if ((a == nullptr) != (b == nullptr)) return {Execution::unsupported, "one operand is quantized, the other is not"};
  if (act != DType::f32 && act != DType::bf16 && act != DType::f16)
    return {Execution::unsupported, fmt::format("no GEMM of {}", name_of(act))};
  const ProductPath path = path_of(device, a, b);
  if (path == ProductPath::plain) return {Execution::native, fmt::format("cuBLASLt {} GEMM, fp32 accumulation", name_of(act))};
  if (path == ProductPath::decoded)
    return {Execution::emulated, fmt::format("bf16 GEMM on exactly decoded codes: {}", why_decoded(device, *a, *b))};
  return {Execution::native, how_native(path, *a)};
}

/// Where products of such operands are native and need both operands contiguous along the sum. nvfp4's codes are packed before every
/// product, and transposed on the way.
bool wants_transposed(const GemmDevice& device, const QuantSpec& spec) {
  if (spec.scaling == QuantScaling::nvfp4 || device.takes_fp8_in_any_layout()) return false;
  QuantSpec line = spec;
  line.format = QuantFormat::e4m3;
  line.is_2d = false;
  return path_of(device, &line, &line) != ProductPath::decoded;
}

GemmExtents extents_of(const GemmShape& s) {
  switch (s.role) {
    case GemmRole::fprop: return {s.tokens, s.out_features, s.in_features};
    case GemmRole::dgrad: return {s.tokens, s.in_features, s.out_features};
    case GemmRole::wgrad: return {s.out_features, s.in_features, s.tokens};
  }
  return {};
}

std::string extents_problem(ProductPath path, const GemmExtents& e, DType d) {
  if (path == ProductPath::plain || path == ProductPath::decoded) return {};
  const bool is_128 = path == ProductPath::fp8_128;  // f32 scales: both sides of the result in eights, into f32 too
  const int64_t summed = path == ProductPath::fp8_32 || path == ProductPath::fp4_16 ? 32 : 16, cols = is_128 ? 8 : 16 / size_of(d);
  const auto odd = [&](const char* what, int64_t size, int64_t multiple) {
    return fmt::format("cuBLASLt multiplies [{},{}] by [{},{}] only with {} a multiple of {} (it is {})", e.rows, e.summed, e.summed,
                       e.cols, what, multiple, size);
  };
  if (e.summed % summed != 0) return odd("the summed size", e.summed, summed);
  if (e.cols % cols != 0) return odd("the columns of the result", e.cols, cols);
  if (is_128 && e.rows % 8 != 0) return odd("the rows of the result", e.rows, 8);
  return {};
}

std::string size_problem(const GemmDevice& device, const GemmShape& s, const QuantSpec* a, const QuantSpec* b, DType act) {
  if ((a == nullptr) != (b == nullptr)) return {};
  const std::string problem = extents_problem(path_of(device, a, b), extents_of(s), s.role == GemmRole::wgrad ? DType::f32 : act);
  if (problem.empty()) return {};
  return fmt::format("{}; change the model's widths, train.micro_batch_size or model.seq_length, or run another recipe", problem);
}

}  // namespace mbt::cuda

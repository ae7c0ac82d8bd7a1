#include "kernels/cuda/gemm/gemm_prepare.h"

#include "kernels/cuda/gemm/gemm_kernels.h"
#include "kernels/cuda/quantize/quantize_decode.h"

namespace mbt::cuda {
namespace {

size_t aligned(int64_t bytes) { return (static_cast<size_t>(bytes) + 255) / 256 * 256; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

ScaleMode scale_mode(ProductPath path, const QuantSpec& spec) {
  switch (path) {
    case ProductPath::fp8_tensor: return ScaleMode::scalar_32f;
    case ProductPath::fp8_128: return spec.is_2d ? ScaleMode::blk128x128_32f : ScaleMode::vec128_32f;
    case ProductPath::fp8_32: return ScaleMode::vec32_ue8m0;
    case ProductPath::fp4_16: return ScaleMode::vec16_ue4m3;
    case ProductPath::plain:
    case ProductPath::decoded: break;
  }
  return ScaleMode::none;
}

/// The scales of a side as the quantizer wrote them, one for each block of `mode` and each row (or group of rows) that it distinguishes.
ScaleGrid grid_of(const GemmSide& s, const void* scales, ScaleMode mode) {
  const int64_t rows = s.is_columnwise ? s.summed : s.outer, cols = s.is_columnwise ? s.outer : s.summed;
  const int64_t row_stride = quant_copy_shape(*s.spec, rows, cols, s.is_columnwise).scale_cols;
  const bool groups_rows = mode == ScaleMode::blk128x128_32f;
  const int64_t block = s.spec->block_size();
  return {.scales = scales,
          .outers = groups_rows ? ceil_div(s.outer, 128) : s.outer,
          .inners = ceil_div(s.summed, block_of(mode)),
          .outer_stride = s.is_columnwise ? 1 : row_stride,
          .inner_stride = s.is_columnwise ? row_stride : 1,
          .outer_block = s.spec->is_2d && !groups_rows ? static_cast<int>(block) : 1,
          .inner_block = static_cast<int>(block / block_of(mode))};
}

/// The order of `mode` for f32 scales: strides, and blocks along the sum with their padding.
struct GridOrder {
  int64_t padded_inners, outer_stride, inner_stride;
};
GridOrder order_of(const ScaleGrid& g, ScaleMode mode) {
  if (mode == ScaleMode::vec128_32f) return {g.inners, 1, g.outers};
  const int64_t padded = ceil_div(g.inners, 4) * 4;
  return {padded, padded, 1};
}

/// The scales lie in cuBLASLt's order already.
bool is_in_order(const ScaleGrid& g, ScaleMode mode) {
  if (mode != ScaleMode::vec128_32f && mode != ScaleMode::blk128x128_32f) return false;
  const GridOrder o = order_of(g, mode);
  return g.outer_stride == o.outer_stride && g.inner_stride == o.inner_stride && g.inners == o.padded_inners;
}

size_t data_bytes(ProductPath path, const GemmSide& s) {
  if (path == ProductPath::decoded) return aligned(2 * s.outer * s.summed);
  return path == ProductPath::fp4_16 ? aligned(s.outer * s.summed / 2) : 0;
}
size_t scale_scratch(ProductPath path, const GemmSide& s) {
  if (path != ProductPath::fp8_128 && path != ProductPath::fp8_32 && path != ProductPath::fp4_16) return 0;
  const ScaleMode mode = scale_mode(path, *s.spec);
  return is_in_order(grid_of(s, nullptr, mode), mode) ? 0 : aligned(scale_bytes(mode, s.outer, s.summed));
}

/// Hands out the parts of one piece of scratch.
class Parts {
 public:
  Parts(const LaunchContext& context, size_t bytes) : at_(bytes == 0 ? nullptr : context.scratch.get<char>(bytes)) {}
  template <class T>
  T* take(size_t bytes) {
    char* const part = at_;
    at_ += bytes;
    return reinterpret_cast<T*>(part);
  }

 private:
  char* at_;
};

/// An operand on its way: what a ProductMatrix says of it, whichever its place.
struct Operand {
  const void* data;
  ElementType type;
  bool is_contiguous;  // along the sum
  ScaleMode mode = ScaleMode::none;
  const void* scale = nullptr;
};

class Preparation {
 public:
  Preparation(const GemmArgs& args, ProductPath path, const GemmDevice& device, const LaunchContext& context)
      : args_(args),
        path_(path),
        device_(device),
        context_(context),
        sides_(sides_of(args)),
        bytes_(prepared_bytes(path, sides_, args.d.dtype, !args.bias.empty())),
        parts_(context, bytes_.total()) {}

  Prepared run() {
    const Operand a = operand("a", args_.a, sides_.a, parts_.take<char>(bytes_.a_data), parts_.take<char>(bytes_.a_scale));
    const Operand b = operand("b", args_.b, sides_.b, parts_.take<char>(bytes_.b_data), parts_.take<char>(bytes_.b_scale));
    const int64_t m = args_.d_cols(), n = args_.d_rows(), k = args_.summed();
    Prepared p{.product = {.first = matrix(b, m, k, true),
                           .second = matrix(a, n, k, false),
                           .d = args_.d.data,
                           .d_type = args_.d.dtype,
                           .m = m,
                           .n = n,
                           .k = k,
                           .accumulates = args_.accumulate,
                           .fast_accumulation = path_ == ProductPath::fp8_tensor && args_.fast_accumulation}};
    if (bytes_.scalars > 0) p.product.alpha_beta = alpha_beta();
    if (bytes_.sum > 0) sum_in_f32(p);
    else if (!args_.bias.empty()) set_bias(p.product, args_.bias);
    return p;
  }

 private:
  Operand operand(const char* name, const GemmOperand& x, const GemmSide& side, char* data, char* scale) {
    if (path_ == ProductPath::plain) return {x.plain.data, x.plain.dtype, !side.is_columnwise};
    const QuantCopy& copy = side.is_columnwise ? x.quant.columnwise : x.quant.rowwise;
    MBT_CHECK(!copy.empty(), "gemm {}: {} has no {} copy", name_of(args_.role), name, side.is_columnwise ? "column-wise" : "row-wise");
    if (path_ == ProductPath::decoded) {
      launch_decode(x.quant, side.is_columnwise, {data, DType::bf16, {x.rows(), x.cols()}}, context_);
      return {data, DType::bf16, !side.is_columnwise};
    }
    const ScaleMode mode = scale_mode(path_, *side.spec);
    const void* const scales = scales_of(side, copy, mode, scale);
    const bool is_contiguous = !side.is_columnwise || copy.is_transposed;
    if (path_ == ProductPath::fp4_16) {
      launch_pack_codes(static_cast<const uint8_t*>(copy.codes), side.outer, side.summed, !is_contiguous, reinterpret_cast<uint8_t*>(data),
                        context_);
      return {data, side.spec->format, true, mode, scales};
    }
    MBT_CHECK(is_contiguous || device_.takes_fp8_in_any_layout(),
              "gemm {}: the column-wise copy of {} is not transposed; Backend::wants_transposed asks for it on this GPU",
              name_of(args_.role), name);
    return {copy.codes, side.spec->format, is_contiguous, mode, scales};
  }

  const void* scales_of(const GemmSide& side, const QuantCopy& copy, ScaleMode mode, char* scratch) {
    if (mode == ScaleMode::scalar_32f) return copy.scale_inv;
    const ScaleGrid grid = grid_of(side, copy.scale_inv, mode);
    if (is_in_order(grid, mode)) return copy.scale_inv;
    if (mode == ScaleMode::vec32_ue8m0 || mode == ScaleMode::vec16_ue4m3) {
      launch_tile_scales(grid, side.spec->scale_bytes() == 4, reinterpret_cast<uint8_t*>(scratch), context_);
    } else {
      const GridOrder o = order_of(grid, mode);
      launch_arrange_scales(grid, o.padded_inners, o.outer_stride, o.inner_stride, reinterpret_cast<float*>(scratch), context_);
    }
    return scratch;
  }

  /// As cuBLASLt's first or second operand, outer being the rows or the columns of its D.
  static ProductMatrix matrix(const Operand& o, int64_t outer, int64_t k, bool is_first) {
    const int64_t rows = o.is_contiguous ? k : outer;
    return {o.data, o.type, rows, o.is_contiguous ? outer : k, rows, o.is_contiguous == is_first, o.mode, o.scale};
  }

  const float* alpha_beta() {
    auto* const out = parts_.take<float>(bytes_.scalars);
    launch_gemm_alpha(args_.a.quant, sides_.a.is_columnwise, args_.b.quant, sides_.b.is_columnwise, args_.accumulate, out, context_);
    return out;
  }

  void sum_in_f32(Prepared& p) {
    p.sum = {parts_.take<char>(bytes_.sum), DType::f32, args_.d.shape};
    if (args_.accumulate) launch_cast({.src = args_.d, .dst = p.sum}, context_);
    p.product.d = p.sum.data;
    p.product.d_type = DType::f32;
    if (args_.bias.empty()) return;
    const TensorView bias(parts_.take<char>(bytes_.bias), DType::f32, args_.bias.shape);
    launch_cast({.src = args_.bias, .dst = bias}, context_);
    set_bias(p.product, bias);
  }
  static void set_bias(Product& p, const ConstTensorView& bias) {
    p.bias = bias.data;
    p.bias_type = bias.dtype;
  }

  const GemmArgs& args_;
  ProductPath path_;
  const GemmDevice& device_;
  const LaunchContext& context_;
  GemmSides sides_;
  PreparedBytes bytes_;
  Parts parts_;
};

}  // namespace

GemmSides sides_of(const GemmArgs& g) {
  const auto spec = [](const GemmOperand& x) { return x.is_quantized() ? &x.quant.spec : nullptr; };
  return {{spec(g.a), g.role == GemmRole::wgrad, g.d_rows(), g.summed()}, {spec(g.b), g.role != GemmRole::fprop, g.d_cols(), g.summed()}};
}

GemmSides sides_of(const GemmShape& s, const QuantSpec* a, const QuantSpec* b) {
  const GemmExtents e = extents_of(s);
  return {{a, s.role == GemmRole::wgrad, e.rows, e.summed}, {b, s.role != GemmRole::fprop, e.cols, e.summed}};
}

PreparedBytes prepared_bytes(ProductPath path, const GemmSides& s, DType d, bool has_bias) {
  PreparedBytes bytes;
  if (path == ProductPath::plain) return bytes;
  bytes.a_data = data_bytes(path, s.a);
  bytes.b_data = data_bytes(path, s.b);
  bytes.a_scale = scale_scratch(path, s.a);
  bytes.b_scale = scale_scratch(path, s.b);
  if (path == ProductPath::decoded || path == ProductPath::fp4_16) bytes.scalars = aligned(2 * sizeof(float));
  if (path != ProductPath::decoded || d != DType::f16) return bytes;
  bytes.sum = aligned(4 * s.a.outer * s.b.outer);
  if (has_bias) bytes.bias = aligned(4 * s.b.outer);
  return bytes;
}

Prepared prepare(const GemmArgs& args, ProductPath path, const GemmDevice& device, const LaunchContext& context) {
  return Preparation(args, path, device, context).run();
}

}  // namespace mbt::cuda

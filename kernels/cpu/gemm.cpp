#include "kernels/cpu/gemm.h"

#include <algorithm>

#include "kernels/cpu/gemm_engine.h"
#include "kernels/cpu/loops/gemm.h"
#include "kernels/cpu/loops/gemm_few_rows.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/quantize.h"

namespace mbt::cpu {
namespace {

constexpr int64_t kRowMultiple = 64;
constexpr int64_t kFewRows = 8;  // up to here products are bound by reading the weight

/// bf16 when the bf16 units can take both operands as they are, or as decoded codes.
DType operand_type_of(bool is_quantized, DType act) {
  return (is_quantized || act == DType::bf16) && GemmEngine::has_bf16() ? DType::bf16 : DType::f32;
}

/// How a product runs: sizes of d[m,n], k summed; which operands exist only as copies; in how many rows of d at a time, so that the copies
/// of a wide head stay small.
struct Layout {
  int64_t m, n, k;
  DType operand_type;
  bool copies_a, copies_b;
  bool is_a_decoded;  // from codes: all of it, blocks of codes are not cut
  bool needs_sum;     // d has neither f32 nor the operands' type: the engine's f32 sum is rounded after
  int64_t block_rows;

  Layout(const GemmShape& s, bool is_quantized, DType act, DType result, int64_t block_elements)
      : m(s.role == GemmRole::wgrad ? s.out_features : s.tokens),
        n(s.role == GemmRole::fprop ? s.out_features : s.in_features),
        k(s.role == GemmRole::fprop   ? s.in_features
          : s.role == GemmRole::dgrad ? s.out_features
                                      : s.tokens),
        operand_type(operand_type_of(is_quantized, act)),
        copies_a(is_quantized || act != operand_type),
        copies_b(copies_a),
        is_a_decoded(is_quantized),
        needs_sum(result != DType::f32 && result != operand_type) {
    const int64_t per_row = (copies_a && !is_a_decoded ? k : 0) + (needs_sum ? n : 0);
    const int64_t blocks = std::max<int64_t>(1, (m * per_row + block_elements - 1) / block_elements);
    const int64_t rows = (m + blocks - 1) / blocks;
    const bool is_whole = s.role == GemmRole::wgrad && (!copies_a || is_a_decoded);  // a block of rows of d is one of columns of a
    block_rows = blocks == 1 || is_whole ? m : std::min(m, (rows + kRowMultiple - 1) / kRowMultiple * kRowMultiple);
  }

  size_t a_bytes() const { return copies_a ? bytes((is_a_decoded ? m : block_rows) * k, operand_type) : 0; }
  size_t b_bytes() const { return copies_b ? bytes(n * k, operand_type) : 0; }
  size_t sum_bytes() const { return needs_sum ? bytes(block_rows * n, DType::f32) : 0; }
  size_t scratch_bytes() const { return a_bytes() + b_bytes() + sum_bytes(); }

 private:
  static size_t bytes(int64_t count, DType type) { return static_cast<size_t>((count * size_of(type) + 63) / 64 * 64); }
};

GemmShape shape_of(const GemmArgs& g) {
  switch (g.role) {
    case GemmRole::fprop: return {g.role, g.d_rows(), g.d_cols(), g.summed()};
    case GemmRole::dgrad: return {g.role, g.d_rows(), g.summed(), g.d_cols()};
    case GemmRole::wgrad: return {g.role, g.summed(), g.d_rows(), g.d_cols()};
  }
  return {};
}

bool has_few_rows(const GemmShape& s, bool is_quantized, DType act) {
  return s.role == GemmRole::fprop && !is_quantized && act != DType::f32 && s.tokens <= kFewRows;
}

/// The f32 copy of a and the f32 sum.
size_t few_rows_elements(const GemmShape& s) { return static_cast<size_t>(s.tokens * (s.in_features + s.out_features)); }

/// The operand as the engine reads it, decoded to `type`.
void decode_operand(const QuantTensorView& x, bool columnwise, DType type, void* out) {
  if (type == DType::bf16) decode_to_bf16(x, columnwise, static_cast<uint16_t*>(out));
  else decode_to_f32(x, columnwise, static_cast<float*>(out));
}

/// The operand a of the rows [first, first + rows) of d: in place, in its decoded copy, or widened into `copy` now.
const void* a_of_block(const GemmArgs& g, const Layout& l, char* copy, int64_t first, int64_t rows) {
  if (!l.copies_a) return first == 0 ? g.a.plain.data : g.a.plain.row_range(first, rows).data;
  if (l.is_a_decoded) return copy + first * l.k * size_of(l.operand_type);
  auto* widened = reinterpret_cast<float*>(copy);
  if (g.role == GemmRole::wgrad) MBT_AT_LEVEL(gemm_widen)(g.a.plain, first, rows, widened);
  else MBT_AT_LEVEL(gemm_widen)(g.a.plain.row_range(first, rows), 0, l.k, widened);
  return widened;
}

}  // namespace

struct Gemm::State {
  GemmEngine engine;
  Scratch operands, bias;

  const float* prepare_bias(const ConstTensorView& x) {
    if (x.empty()) return nullptr;
    if (x.dtype == DType::f32) return x.as<float>();
    float* widened = bias.get<float>(static_cast<size_t>(x.size()));
    MBT_AT_LEVEL(gemm_widen)(x, 0, x.cols(), widened);
    return widened;
  }
};

namespace {

void run_few_rows(const GemmArgs& g, Scratch& scratch, const float* bias) {
  auto* const a = scratch.get<float>(few_rows_elements(shape_of(g)));
  float* const sum = a + g.a.plain.size();
  MBT_AT_LEVEL(gemm_widen)(g.a.plain, 0, g.a.plain.cols(), a);
  MBT_AT_LEVEL(gemm_few_rows)(g.d_rows(), a, g.b.plain, sum);
  MBT_AT_LEVEL(gemm_finish)(sum, 1.0f, bias, g.accumulate, g.d);
}

}  // namespace

Gemm::Gemm(int64_t block_elements) : state_(std::make_unique<State>()), block_elements_(block_elements) {}
Gemm::~Gemm() = default;

void Gemm::run(const GemmArgs& g) {
  const bool is_quantized = g.a.is_quantized();
  const DType act = g.a.plain.dtype;
  MBT_CHECK(is_quantized || act == DType::f32 || act == DType::bf16 || act == DType::f16, "gemm of {}", name_of(act));
  State& s = *state_;
  if (has_few_rows(shape_of(g), is_quantized, act)) return run_few_rows(g, s.operands, s.prepare_bias(g.bias));
  const bool a_columnwise = g.role == GemmRole::wgrad, b_columnwise = g.role != GemmRole::fprop;
  const Layout l(shape_of(g), is_quantized, act, g.d.dtype, block_elements_);
  char* const a_copy = s.operands.get<char>(l.scratch_bytes());
  char* const b_copy = a_copy + l.a_bytes();
  char* const sum = b_copy + l.b_bytes();
  if (is_quantized) {
    decode_operand(g.a.quant, a_columnwise, l.operand_type, a_copy);
    decode_operand(g.b.quant, b_columnwise, l.operand_type, b_copy);
  } else if (l.copies_b) {
    MBT_AT_LEVEL(gemm_widen)(g.b.plain, 0, g.b.plain.cols(), reinterpret_cast<float*>(b_copy));
  }
  const float alpha = is_quantized ? gemm_alpha(g.a.quant, a_columnwise) * gemm_alpha(g.b.quant, b_columnwise) : 1.0f;
  const float* bias = s.prepare_bias(g.bias);
  for (int64_t first = 0; first < l.m; first += l.block_rows) {
    const int64_t rows = std::min(l.block_rows, l.m - first);
    const TensorView d = g.d.row_range(first, rows);
    const void* a = a_of_block(g, l, a_copy, first, rows);
    MatrixProduct p{rows, l.n, l.k, l.operand_type, a, a_columnwise, l.copies_b ? b_copy : g.b.plain.data, !b_columnwise, DType::f32, sum};
    if (!l.needs_sum) p.result_type = d.dtype, p.c = d.data, p.alpha = alpha, p.bias = bias, p.accumulate = g.accumulate;
    s.engine.run(p);
    if (l.needs_sum) MBT_AT_LEVEL(gemm_finish)(reinterpret_cast<float*>(sum), alpha, bias, g.accumulate, d);
  }
}

size_t Gemm::scratch_bytes_for(const GemmShape& shape, const QuantSpec* a, const QuantSpec*, DType act) const {
  if (has_few_rows(shape, a != nullptr, act)) return few_rows_elements(shape) * sizeof(float);
  return Layout(shape, a != nullptr, act, shape.role == GemmRole::wgrad ? DType::f32 : act, block_elements_).scratch_bytes();
}

GemmSupport Gemm::support(const QuantSpec* a, const QuantSpec* b, DType act) const {
  const bool has_bf16 = GemmEngine::has_bf16();
  if ((a == nullptr) != (b == nullptr)) return {Execution::unsupported, "one operand is quantized, the other is not"};
  if (a != nullptr)
    return {Execution::emulated, fmt::format("{} GEMM on exactly decoded codes, scales on the fp32 sums", has_bf16 ? "bf16" : "fp32")};
  switch (act) {
    case DType::f32: return {Execution::native, "fp32 GEMM"};
    case DType::bf16:
      if (has_bf16) return {Execution::native, "bf16 GEMM, fp32 accumulation"};
      return {Execution::emulated, "fp32 GEMM on the bf16 values"};
    case DType::f16: return {Execution::emulated, "fp32 GEMM on the fp16 values"};
    case DType::f64:
    case DType::i32:
    case DType::u8: break;
  }
  return {Execution::unsupported, fmt::format("no GEMM of {}", name_of(act))};
}

std::string Gemm::description() const { return GemmEngine::description(); }

size_t Gemm::scratch_bytes() const {
  const State& s = *state_;
  return s.engine.scratch_bytes() + s.operands.bytes() + s.bias.bytes();
}

}  // namespace mbt::cpu

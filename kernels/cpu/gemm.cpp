#include "kernels/cpu/gemm.h"

#include "kernels/cpu/gemm_engine.h"
#include "kernels/cpu/loops/gemm.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/quantize.h"

namespace mbt::cpu {
namespace {

/// The layout that the role fixes (core/ops/gemm.h), operands and result still unset.
MatrixProduct product_of(const GemmArgs& g) {
  MatrixProduct p{};
  p.m = g.d_rows();
  p.n = g.d_cols();
  p.k = g.summed();
  p.a_is_transposed = g.role == GemmRole::wgrad;
  p.b_is_transposed = g.role == GemmRole::fprop;
  return p;
}

DType act_of(const GemmArgs& g) { return g.a.plain.dtype; }

/// bf16 when the bf16 units can take both operands as they are, or as decoded codes.
DType operand_type_of(const GemmArgs& g) {
  const bool fits = g.a.is_quantised() || act_of(g) == DType::bf16;
  return fits && GemmEngine::has_bf16() ? DType::bf16 : DType::f32;
}

}  // namespace

struct Gemm::State {
  GemmEngine engine;
  Scratch a, b, bias, sum;

  /// The operand as the engine reads it: in place, widened, or decoded into `scratch`.
  static const void* prepare(const GemmOperand& x, bool columnwise, DType type, Scratch& scratch) {
    if (!x.is_quantised() && x.plain.dtype == type) return x.plain.data;
    const auto size = static_cast<size_t>(x.rows() * x.cols());
    if (type == DType::bf16) {
      auto* decoded = scratch.get<uint16_t>(size);
      decode_to_bf16(x.quant, columnwise, decoded);
      return decoded;
    }
    auto* values = scratch.get<float>(size);
    if (x.is_quantised())
      decode_to_f32(x.quant, columnwise, values);
    else
      MBT_AT_LEVEL(gemm_widen)(x.plain, values);
    return values;
  }

  const float* prepare_bias(const ConstTensorView& x) {
    if (x.empty()) return nullptr;
    if (x.dtype == DType::f32) return x.as<float>();
    float* widened = bias.get<float>(static_cast<size_t>(x.size()));
    MBT_AT_LEVEL(gemm_widen)(x, widened);
    return widened;
  }
};

Gemm::Gemm() : state_(std::make_unique<State>()) {}
Gemm::~Gemm() = default;

void Gemm::run(const GemmArgs& g) {
  MBT_CHECK(g.a.is_quantised() || act_of(g) == DType::f32 || act_of(g) == DType::bf16 || act_of(g) == DType::f16, "gemm of ",
            name_of(act_of(g)));
  State& s = *state_;
  const bool a_columnwise = g.role == GemmRole::wgrad;
  const bool b_columnwise = g.role != GemmRole::fprop;
  MatrixProduct p = product_of(g);
  p.operand_type = operand_type_of(g);
  p.a = State::prepare(g.a, a_columnwise, p.operand_type, s.a);
  p.b = State::prepare(g.b, b_columnwise, p.operand_type, s.b);
  const float alpha = g.a.is_quantised() ? gemm_alpha(g.a.quant, a_columnwise) * gemm_alpha(g.b.quant, b_columnwise) : 1.0f;
  const float* bias = s.prepare_bias(g.bias);
  if (g.d.dtype == DType::f32 || g.d.dtype == p.operand_type) {
    p.result_type = g.d.dtype;
    p.c = g.d.data;
    p.alpha = alpha;
    p.bias = bias;
    p.accumulate = g.accumulate;
    s.engine.run(p);
    return;
  }
  p.result_type = DType::f32;
  p.c = s.sum.get<float>(static_cast<size_t>(p.m * p.n));
  s.engine.run(p);
  MBT_AT_LEVEL(gemm_finish)(static_cast<const float*>(p.c), alpha, bias, g.accumulate, g.d);
}

GemmSupport Gemm::support(const QuantSpec* a, const QuantSpec* b, DType act) const {
  const bool has_bf16 = GemmEngine::has_bf16();
  if ((a == nullptr) != (b == nullptr)) return {Execution::unsupported, "one operand is quantised, the other is not"};
  if (a != nullptr)
    return {Execution::emulated, text(has_bf16 ? "bf16" : "fp32", " GEMM on exactly decoded codes, scales on the fp32 sums")};
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
  return {Execution::unsupported, text("no GEMM of ", name_of(act))};
}

std::string Gemm::description() const { return GemmEngine::description(); }

size_t Gemm::scratch_bytes() const {
  const State& s = *state_;
  return s.engine.scratch_bytes() + s.a.bytes() + s.b.bytes() + s.bias.bytes() + s.sum.bytes();
}

}  // namespace mbt::cpu

#include "core/train/plan/plan_precision.h"

#include <algorithm>

#include "core/model/shapes.h"

namespace mbt {
namespace {

std::string block_of(const QuantSpec& spec, bool is_columnwise) {
  if (spec.is_per_tensor()) return "tensor";
  const int64_t n = spec.block_size();
  return spec.is_2d ? fmt::format("{}x{}", n, n) : is_columnwise ? fmt::format("{}x1", n) : fmt::format("1x{}", n);
}

OperandPlan plan_operand(TensorRole tensor, bool is_columnwise, const std::optional<QuantSpec>& spec, DType act) {
  OperandPlan p{
      .tensor = tensor, .is_columnwise = is_columnwise, .spec = spec, .format = std::string(name_of(act)), .scaling = {}, .block = {}};
  if (!spec) return p;
  p.format = name_of(spec->format);
  p.scaling = name_of(spec->scaling);
  p.block = block_of(*spec, is_columnwise);
  p.has_hadamard = spec->hadamard_columnwise && is_columnwise;
  p.has_stochastic_rounding = spec->stochastic_rounding;
  return p;
}

/// Each GEMM reads the copies whose blocks run along the dimension it sums over (core/ops/gemm.h).
GemmPlan plan_gemm(GemmRole role, const LinearPrecision& linear, DType act, const GemmSupportQuery& support) {
  const OperandPlan x = plan_operand(TensorRole::input, role == GemmRole::wgrad, linear.input, act);
  const OperandPlan w = plan_operand(TensorRole::weight, role == GemmRole::dgrad, linear.weight, act);
  const OperandPlan dy = plan_operand(TensorRole::grad_output, role == GemmRole::wgrad, linear.grad_output, act);
  const OperandPlan& a = role == GemmRole::fprop ? x : dy;
  const OperandPlan& b = role == GemmRole::wgrad ? x : w;
  const auto pointer = [](const std::optional<QuantSpec>& s) { return s ? &*s : nullptr; };
  return {.role = role,
          .a = a,
          .b = b,
          .fast_accumulation = role == GemmRole::fprop && linear.fast_accumulation_fprop,
          .support = support(pointer(a.spec), pointer(b.spec), act)};
}

LayerRangePlan plan_layer(int64_t layer, const LinearPrecision& linear, DType act, const GemmSupportQuery& support) {
  return {.first = layer,
          .last = layer,
          .is_quantized = linear.is_quantized(),
          .gemms = {plan_gemm(GemmRole::fprop, linear, act, support), plan_gemm(GemmRole::dgrad, linear, act, support),
                    plan_gemm(GemmRole::wgrad, linear, act, support)}};
}

bool are_alike(const LinearPrecision& a, const LinearPrecision& b) {
  return a.input == b.input && a.weight == b.weight && a.grad_output == b.grad_output &&
         a.fast_accumulation_fprop == b.fast_accumulation_fprop;
}

}  // namespace

std::vector<LayerRangePlan> plan_precision(const PrecisionPolicy& policy, const GemmSupportQuery& support) {
  std::vector<LayerRangePlan> ranges;
  for (size_t i = 0; i < policy.layers.size(); ++i) {
    if (i > 0 && are_alike(policy.layers[i], policy.layers[i - 1])) ranges.back().last = static_cast<int64_t>(i);
    else ranges.push_back(plan_layer(static_cast<int64_t>(i), policy.layers[i], policy.act, support));
  }
  return ranges;
}

void require_support(const std::vector<LayerRangePlan>& ranges, const std::string& device, std::optional<bool> emulate_precision) {
  const bool may_emulate = emulate_precision.value_or(device == "cpu");
  for (const LayerRangePlan& range : ranges)
    for (const GemmPlan& g : range.gemms) {
      const std::string product =
          fmt::format("layer {}, {} ({} x {}) on {}: ", range.first, name_of(g.role), g.a.format, g.b.format, device);
      if (g.support.execution == Execution::unsupported)
        throw InputError(fmt::format("{}{}; choose another recipe (mbtrain recipes) or another train.device", product, g.support.how));
      if (g.support.execution == Execution::emulated && !may_emulate)
        throw InputError(
            fmt::format("{}not native ({}), and {}; --emulate-precision runs it all the same, with the same codes but slower; mbtrain "
                        "doctor lists the recipes that run natively here",
                        product, g.support.how,
                        emulate_precision ? "train.emulate_precision is false"
                                          : fmt::format("emulation is not allowed on {} unless asked for", device)));
    }
}

std::vector<std::string> emulation_notes(const std::vector<LayerRangePlan>& ranges, const std::string& device) {
  std::vector<std::string> notes;
  for (const LayerRangePlan& range : ranges)
    for (const GemmPlan& g : range.gemms) {
      if (g.support.execution != Execution::emulated) continue;
      std::string note = fmt::format("{} x {} products are emulated on {}: {}", g.a.format, g.b.format, device, g.support.how);
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(std::move(note));
    }
  return notes;
}

DeviceQueries queries_of(const Backend& backend) {
  return {.name = backend.name(),
          .support = [&](const QuantSpec* a, const QuantSpec* b, DType act) { return backend.gemm_support(a, b, act); },
          .scratch = [&](const GemmShape& shape, const QuantSpec* a, const QuantSpec* b,
                         DType act) { return backend.gemm_scratch_bytes(shape, a, b, act); },
          .size_problem = [&](const GemmShape& shape, const QuantSpec* a, const QuantSpec* b,
                              DType act) { return backend.gemm_size_problem(shape, a, b, act); },
          .wants_transposed = transposed_query(backend),
          .attention = [&](AttentionBackend wanted, const AttentionShape& shape) { return backend.attention_support(wanted, shape); },
          .exchange_scratch = [&](int ranks) { return backend.exchange_scratch_bytes(ranks); },
          .memory = backend.available_memory()};
}

AttentionSupport plan_attention(const ModelConfig& model, const PrecisionPolicy& policy, const std::string& device,
                                const AttentionQuery& attention) {
  AttentionSupport support =
      attention(attention_backend(model), {policy.act, model.head_dim(), model.seq_length, static_cast<float>(model.attention_scale())});
  if (!support.is_supported)
    throw InputError(fmt::format("model.attention_backend: got {}, which cannot run on {}: {}; take auto or math",
                                 name_of(model.attention_backend), device, support.how));
  return support;
}

PrecisionPolicy supported_policy(const RunConfig& config, const Backend& backend) {
  PrecisionPolicy policy = make_policy(config.model, config.ddp);
  const DeviceQueries device = queries_of(backend);
  require_support(plan_precision(policy, device.support), device.name, config.train.emulate_precision);
  plan_attention(config.model, policy, device.name, device.attention);
  return policy;
}

}  // namespace mbt

// Which operand of which GEMM is in which format, and whether the device computes it natively.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/model/quant_slots.h"
#include "core/recipe/policy.h"

namespace mbt {

/// One operand of one GEMM: the copy of the tensor that this GEMM reads.
struct OperandPlan {
  TensorRole tensor;
  bool is_columnwise;             ///< which copy
  std::optional<QuantSpec> spec;  ///< nothing: plain, in the activation dtype
  std::string format;             ///< "e4m3", "bf16", ...
  std::string scaling;            ///< "tensorwise", ...; empty when plain
  std::string block;              ///< of one scale, rows x columns: "tensor", "1x128", "128x1", "128x128"; empty when plain
  bool has_hadamard = false;
  bool has_stochastic_rounding = false;
};

struct GemmPlan {
  GemmRole role;
  OperandPlan a;
  OperandPlan b;
  bool fast_accumulation;
  GemmSupport support;
};

/// Layers first..last, whose four linear layers (qkv, proj, fc1, fc2) run alike: fprop, dgrad, wgrad.
struct LayerRangePlan {
  int64_t first;
  int64_t last;
  bool is_quantized;
  std::array<GemmPlan, 3> gemms;
};

/// The device queries that planning needs: those of a Backend, or substitutes.
using GemmSupportQuery = std::function<GemmSupport(const QuantSpec* a, const QuantSpec* b, DType act)>;
using GemmScratchQuery = std::function<size_t(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act)>;
using GemmSizeQuery = std::function<std::string(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act)>;
using AttentionQuery = std::function<AttentionSupport(AttentionBackend wanted, const AttentionShape& shape)>;
struct DeviceQueries {
  std::string name;
  GemmSupportQuery support;
  GemmScratchQuery scratch;
  GemmSizeQuery size_problem = [](const GemmShape&, const QuantSpec*, const QuantSpec*, DType) { return std::string(); };
  TransposedQuery wants_transposed = [](const QuantSpec&) { return false; };
  AttentionQuery attention = [](AttentionBackend, const AttentionShape&) { return AttentionSupport{}; };
  std::function<size_t(int ranks)> exchange_scratch = [](int) { return size_t{0}; };
  std::optional<AvailableMemory> memory = {};  ///< when it was asked; nothing: unknown
};
/// `backend` must outlive the result.
DeviceQueries queries_of(const Backend& backend);

/// All layers in order; neighbors that run alike share a range.
std::vector<LayerRangePlan> plan_precision(const PrecisionPolicy& policy, const GemmSupportQuery& support);

/// Throws InputError, with the reason and the flag that helps, when a product is not supported on `device`, or emulated while emulation is
/// not allowed: `emulate_precision` unset allows it on "cpu", where emulation is the rule, and nowhere else. There is no silent fallback.
void require_support(const std::vector<LayerRangePlan>& ranges, const std::string& device, std::optional<bool> emulate_precision);

/// Returns the log lines about emulation: one for each way in which products of these layers are emulated; none when all are native.
std::vector<std::string> emulation_notes(const std::vector<LayerRangePlan>& ranges, const std::string& device);

/// How `device` computes the model's attention. Throws InputError with the reason when it cannot as model.attention_backend wants it.
AttentionSupport plan_attention(const ModelConfig& model, const PrecisionPolicy& policy, const std::string& device,
                                const AttentionQuery& attention);

/// The policy of a resolved config, after require_support and plan_attention on the backend that will run it.
PrecisionPolicy supported_policy(const RunConfig& config, const Backend& backend);

}  // namespace mbt

#include "core/train/plan_memory.h"

#include <algorithm>

#include "core/model/activations.h"
#include "core/model/params.h"
#include "core/model/rope_table.h"
#include "core/model/weights.h"

namespace mbt {
namespace {

constexpr int64_t kProgramBytes = 16 << 20;  // measured: 15 to 17 MiB resident, oneDNN and its generated code included

const char* group_of(const ParamSpec& s) {
  switch (s.kind) {
    case ParamKind::embedding: return "word embeddings";
    case ParamKind::position_embedding: return "position embeddings";
    case ParamKind::norm: return "norms";
    case ParamKind::bias: return "biases";
    case ParamKind::linear: return s.linear == LinearKind::qkv || s.linear == LinearKind::proj ? "attention" : "MLP";
    case ParamKind::head: return "head";
  }
  return "?";
}

/// What the device keeps for the largest product: copies of operands that it cannot multiply as they are.
int64_t largest_product_scratch(const ParamList& params, const ModelShapes& s, const PrecisionPolicy& policy, int64_t logits_rows,
                                const GemmScratchQuery& scratch) {
  size_t largest = 0;
  const auto consider = [&](const GemmShape& shape, const std::optional<QuantSpec>& a, const std::optional<QuantSpec>& b) {
    largest = std::max(largest, scratch(shape, a ? &*a : nullptr, b ? &*b : nullptr, policy.act));
  };
  for (const ParamSpec& p : params.specs) {
    if (p.kind != ParamKind::linear) continue;
    const LinearPrecision& l = policy.linear(p.layer, p.linear);
    consider({GemmRole::fprop, s.tokens, p.shape[0], p.shape[1]}, l.input, l.weight);
    consider({GemmRole::dgrad, s.tokens, p.shape[0], p.shape[1]}, l.grad_output, l.weight);
    consider({GemmRole::wgrad, s.tokens, p.shape[0], p.shape[1]}, l.grad_output, l.input);
  }
  for (const GemmRole role : {GemmRole::fprop, GemmRole::dgrad, GemmRole::wgrad})
    consider({role, logits_rows, s.padded_vocab, s.width}, {}, {});
  return static_cast<int64_t>(largest);
}

}  // namespace

std::vector<ParameterGroup> count_parameters(const ModelConfig& model) {
  std::vector<ParameterGroup> groups;
  for (const char* name : {"word embeddings", "position embeddings", "attention", "MLP", "biases", "norms", "head"})
    groups.push_back({name, 0});
  for (const ParamSpec& s : list_params(model).specs)
    for (ParameterGroup& g : groups)
      if (g.name == group_of(s)) g.elements += s.shape.size();
  return groups;
}

int64_t total_elements(const std::vector<ParameterGroup>& groups) {
  int64_t total = 0;
  for (const ParameterGroup& g : groups) total += g.elements;
  return total;
}

std::vector<MemoryItem> plan_memory(const RunConfig& config, const PrecisionPolicy& policy, const GemmScratchQuery& scratch) {
  const ModelConfig& m = config.model;
  const WeightsPlan weights = plan_weights(m, policy, true);
  const ActivationsPlan activations = plan_activations(m, policy, config.train.micro_batch_size, true);
  const ModelShapes s = shapes_of(m, config.train.micro_batch_size, m.seq_length);
  const auto bytes = [&](MemoryCategory c) { return weights.arena.bytes(c) + activations.arena.bytes(c); };

  const int64_t logits = activations.logits_rows * s.padded_vocab * size_of(policy.act);
  const int64_t rope = m.position_embedding_type == "rope" ? m.seq_length * rotary_width(m) * 4 : 0;
  const std::string act(name_of(policy.act));
  return {
      {"weights", bytes(MemoryCategory::weights), act + " working copies"},
      {"quantised_weights", bytes(MemoryCategory::quantised_weights), "codes and scales of linear weights"},
      {"masters", bytes(MemoryCategory::masters),
       policy.act == DType::f32 ? "fp32, also the working weights" : "fp32, what the optimizer updates"},
      {"moments", bytes(MemoryCategory::moments), "Adam's two, fp32"},
      {"main_gradients", bytes(MemoryCategory::gradients), "fp32, accumulated over micro-batches"},
      {"activations", bytes(MemoryCategory::activations),
       text("one micro-batch of ", s.tokens, " tokens, recompute: ", m.recompute_granularity.value_or("none"))},
      {"logits", logits, text("a chunk of ", activations.logits_rows, " x ", s.padded_vocab, ", ", act)},
      {"workspace", bytes(MemoryCategory::workspace) - logits + rope, "shared by layers: activation gradients, operands, tables"},
      {"device_scratch", largest_product_scratch(weights.params, s, policy, activations.logits_rows, scratch),
       "operands that products cannot take as they are"},
      {"program", kProgramBytes, "code and libraries, estimated"},
  };
}

int64_t total_bytes(const std::vector<MemoryItem>& items) {
  int64_t total = 0;
  for (const MemoryItem& item : items) total += item.bytes;
  return total;
}

}  // namespace mbt

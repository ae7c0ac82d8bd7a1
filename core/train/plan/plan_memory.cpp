#include "core/train/plan/plan_memory.h"

#include <algorithm>

#include "core/model/activations.h"
#include "core/model/params.h"
#include "core/model/rope_table.h"
#include "core/model/weights.h"
#include "core/optim/optimizer.h"
#include "core/parallel/code_exchange.h"
#include "core/parallel/gradient_exchange.h"
#include "core/train/checkpoint/checkpoint_writer.h"

namespace mbt {
namespace {

constexpr int64_t kProgramBytes = 16 << 20;           // measured: 15 to 17 MiB resident, oneDNN and its generated code included
constexpr int64_t kMpiBytes = 19 << 20;               // measured: Open MPI 4.1 with shared memory, 2 and 4 ranks
constexpr int64_t kKernelBytes = int64_t{128} << 20;  // estimated: CUDA loads kernels when they are first called

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

std::string moments_text(MomentTypes moments) {
  const auto name = [](DType t) { return t == DType::f32 ? std::string("fp32") : std::string(name_of(t)); };
  if (moments.exp_avg == moments.exp_avg_sq) return "Adam's two, " + name(moments.exp_avg);
  return "Adam's two: the first " + name(moments.exp_avg) + ", the second " + name(moments.exp_avg_sq);
}

/// f(parameter, shape, spec of a, spec of b) for the three products of every linear layer.
template <class F>
void for_each_linear_product(const ParamList& params, int64_t tokens, const PrecisionPolicy& policy, F&& f) {
  const auto pointer = [](const std::optional<QuantSpec>& s) { return s ? &*s : nullptr; };
  for (const ParamSpec& p : params.specs) {
    if (p.kind != ParamKind::linear) continue;
    const LinearPrecision& l = policy.linear(p.layer);
    f(p, GemmShape{GemmRole::fprop, tokens, p.shape[0], p.shape[1]}, pointer(l.input), pointer(l.weight));
    f(p, GemmShape{GemmRole::dgrad, tokens, p.shape[0], p.shape[1]}, pointer(l.grad_output), pointer(l.weight));
    f(p, GemmShape{GemmRole::wgrad, tokens, p.shape[0], p.shape[1]}, pointer(l.grad_output), pointer(l.input));
  }
}

/// What the device keeps for the largest product: copies of operands that it cannot multiply as they are.
int64_t largest_product_scratch(const ParamList& params, const ModelShapes& s, const PrecisionPolicy& policy, int64_t logits_rows,
                                const GemmScratchQuery& scratch, bool with_training) {
  size_t largest = 0;
  for_each_linear_product(params, s.tokens, policy, [&](const ParamSpec&, const GemmShape& shape, const QuantSpec* a, const QuantSpec* b) {
    if (with_training || shape.role == GemmRole::fprop) largest = std::max(largest, scratch(shape, a, b, policy.act));
  });
  for (const GemmRole role : {GemmRole::fprop, GemmRole::dgrad, GemmRole::wgrad})
    if (with_training || role == GemmRole::fprop)
      largest = std::max(largest, scratch({role, logits_rows, s.padded_vocab, s.width}, nullptr, nullptr, policy.act));
  return static_cast<int64_t>(largest);
}

/// On a GPU the copy lies in the host's memory, which this plan does not count.
MemoryItem checkpoint_item(const CheckpointConfig& checkpoint, const ParamList& params, MomentTypes moments, bool is_on_host) {
  const bool has_copy = checkpoint.async_save && !checkpoint.save.empty();
  const int64_t bytes = has_copy ? checkpoint_bytes(params, moments, checkpoint.save_optim) : 0;
  if (is_on_host || bytes == 0) return {"checkpoint_copy", bytes, "of the state, while an asynchronous save writes it"};
  return {"checkpoint_copy", 0, fmt::format("an asynchronous save takes {} bytes of host memory", bytes)};
}

MemoryItem code_item(const DeviceQueries& device, int ranks) {
  if (device.memory && device.memory->is_limit)
    return {"kernels", kKernelBytes, "code and libraries that load when they are first called, estimated"};
  return {"program", kProgramBytes + (ranks > 1 ? kMpiBytes : 0),
          ranks > 1 ? "code, libraries and MPI, estimated" : "code and libraries, estimated"};
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

std::vector<MemoryItem> plan_memory(const RunConfig& config, const PrecisionPolicy& policy, const DeviceQueries& device, int ranks,
                                    bool with_training) {
  const ModelConfig& m = config.model;
  const MomentTypes moments = moment_types(config.optimizer);
  const WeightsPlan weights =
      plan_weights(m, policy, with_training, device.wants_transposed, moments, sharding_of(config.ddp, 0, ranks, with_training));
  const ActivationsPlan activations =
      plan_activations(m, policy, config.train.micro_batch_size, with_training, device.wants_transposed, batch_inputs(config.dataset, m));
  const ModelShapes s = shapes_of(m, config.train.micro_batch_size, m.seq_length);
  const auto bytes = [&](MemoryCategory c) { return weights.arena.bytes(c) + activations.arena.bytes(c); };

  const int64_t logits = activations.logits_rows * s.padded_vocab * size_of(policy.act);
  const int64_t rope = m.position_embedding_type == PositionEmbedding::rope ? m.seq_length * rotary_width(m) * 4 : 0;
  const int64_t transport = ranks > 1 && with_training ? GradientExchange::transport_bytes(weights.params, policy.grad_reduce) : 0;
  const int64_t amaxes = weights.params.sharding.is_sharded() && with_training ? CodeExchange::amax_bytes(weights) : 0;
  const std::string act(name_of(policy.act));
  const std::string share = ranks > 1 && config.ddp.use_distributed_optimizer ? fmt::format(", 1/{} of them", ranks) : "";
  return {
      {"weights", bytes(MemoryCategory::weights), act + " working copies"},
      {"quantised_weights", bytes(MemoryCategory::quantized_weights), "codes and scales of linear weights"},
      {"masters", bytes(MemoryCategory::masters),
       policy.act == DType::f32 ? "fp32, also the working weights" : "fp32, what the optimizer updates" + share},
      {"moments", bytes(MemoryCategory::moments), moments_text(moments) + share},
      {"main_gradients", bytes(MemoryCategory::gradients), "fp32, accumulated over micro-batches"},
      {"activations", bytes(MemoryCategory::activations),
       fmt::format("one micro-batch of {} tokens, recompute: {}", s.tokens,
                   m.recompute_granularity ? name_of(*m.recompute_granularity) : "none")},
      {"logits", logits, fmt::format("a chunk of {} x {}, {}", activations.logits_rows, s.padded_vocab, act)},
      {"workspace", bytes(MemoryCategory::workspace) - logits + rope, "shared by layers: activation gradients, operands, tables"},
      {"device_scratch", largest_product_scratch(weights.params, s, policy, activations.logits_rows, device.scratch, with_training),
       "operands that products cannot take as they are"},
      {"communication", transport + amaxes,
       fmt::format("gradients on their way between ranks, {}{}", name_of(policy.grad_reduce), amaxes > 0 ? ", and amaxes" : "")},
      {"exchange_scratch", static_cast<int64_t>(device.exchange_scratch(ranks)), "pieces of other ranks while they are added"},
      checkpoint_item(with_training ? config.checkpoint : CheckpointConfig{}, weights.params, moments,
                      !(device.memory && device.memory->is_limit)),
      code_item(device, ranks),
  };
}

void require_sizes(const RunConfig& config, const PrecisionPolicy& policy, const DeviceQueries& device) {
  const int64_t tokens = config.train.micro_batch_size * config.model.seq_length;
  const auto require = [&](const ParamSpec& p, const GemmShape& shape, const QuantSpec* a, const QuantSpec* b) {
    const std::string problem = device.size_problem(shape, a, b, policy.act);
    if (!problem.empty()) throw InputError(fmt::format("{}, {} on {}: {}", p.name, name_of(shape.role), device.name, problem));
  };
  for_each_linear_product(list_params(config.model), tokens, policy, require);
}

PrecisionPolicy training_policy(const RunConfig& config, const Backend& backend) {
  PrecisionPolicy policy = supported_policy(config, backend);
  require_sizes(config, policy, queries_of(backend));
  return policy;
}

int64_t total_bytes(const std::vector<MemoryItem>& items) {
  int64_t total = 0;
  for (const MemoryItem& item : items) total += item.bytes;
  return total;
}

}  // namespace mbt

#include "core/megatron/bridge_fields.h"

#include <algorithm>
#include <map>

#include "core/base/strings.h"
#include "core/megatron/argument_table.h"

namespace mbt {
namespace {

using Kind = BridgeAnswer::Kind;

/// Whole sections that Bridge has beside ours.
const std::map<std::string, BridgeAnswer, std::less<>>& sections() {
  static const std::map<std::string, BridgeAnswer, std::less<>> all = {
      {"dist", {Kind::without_effect, "it configures PyTorch's process groups; ranks talk over MPI or NCCL here"}},
      {"comm_overlap",
       {Kind::without_effect, "ddp.overlap_grad_reduce and ddp.overlap_param_gather decide what overlaps; there is no tensor parallelism"}},
      {"ft", {Kind::without_effect, "a run that is started again continues from its last checkpoint; nothing else watches it"}},
      {"straggler", {Kind::without_effect, "slow ranks are not looked for"}},
      {"nvrx_straggler", {Kind::without_effect, "slow ranks are not looked for"}},
      {"rerun_state_machine", {Kind::without_effect, "steps are not repeated; train.nan_policy decides about numbers that are not finite"}},
      {"inprocess_restart", {Kind::without_effect, "a run that is started again continues from its last checkpoint"}},
      {"tensor_inspect", {Kind::without_effect, "tensors are not recorded"}},
      {"peft", {Kind::refused, "adapters are not there: all weights are trained"}},
      {"data", {Kind::without_effect, "data is described by section dataset"}},
  };
  return all;
}

const std::map<std::string, BridgeAnswer, std::less<>>& fields() {
  static const std::map<std::string, BridgeAnswer, std::less<>> all = {
      {"dataset.sequence_length", {Kind::renamed, "dataset.seq_length"}},
      {"dist.use_megatron_fsdp",
       {Kind::refused, "parameters and gradients are not sharded; ddp.use_distributed_optimizer shards the optimizer"}},
      {"dist.use_torch_fsdp2",
       {Kind::refused, "parameters and gradients are not sharded; ddp.use_distributed_optimizer shards the optimizer"}},
      {"dist.eval_context_parallel_size", {Kind::refused, "a sequence is in one piece: take 1 and give the ranks to data parallelism"}},
      {"rerun_state_machine.error_injection_rate", {Kind::refused, "faults are not injected; leave it out"}},
      {"ft.simulate_fault", {Kind::refused, "faults are not injected; leave it out"}},
      {"tensor_inspect.enabled", {Kind::refused, "tensors are not recorded; leave it out"}},
      {"model.rotary_percentage", {Kind::renamed, "model.rotary_percent"}},
      {"model.num_kv_heads", {Kind::renamed, "model.num_query_groups"}},
      {"model.num_moe_experts",
       {Kind::refused, "experts (mixture of experts) are not there: train a dense model and leave out every expert option"}},
      {"model.gradient_accumulation_fusion", {Kind::without_effect, "gradients are added where they are made"}},
      {"model.persist_layer_norm", {Kind::without_effect, "it picks a kernel"}},
      {"model.bias_activation_fusion", {Kind::without_effect, "it picks a kernel"}},
      {"model.bias_dropout_fusion", {Kind::without_effect, "it picks a kernel"}},
      {"model.apply_rope_fusion", {Kind::without_effect, "it picks a kernel"}},
      {"model.masked_softmax_fusion", {Kind::without_effect, "it picks a kernel"}},
      {"model.cross_entropy_loss_fusion", {Kind::without_effect, "it picks a kernel"}},
      {"model.cross_entropy_fusion_impl", {Kind::without_effect, "it picks a kernel"}},
      {"model.deallocate_pipeline_outputs", {Kind::without_effect, "there is one pipeline stage"}},
      {"model.use_transformer_engine_op_fuser", {Kind::without_effect, "it picks a kernel"}},
      {"model.transformer_impl", {Kind::without_effect, "the layers are our own"}},
      {"model.perform_initialization", {Kind::without_effect, "weights are initialized, or loaded"}},
      {"model.async_tensor_model_parallel_allreduce", {Kind::without_effect, "there is no tensor parallelism"}},
      {"dataset.pin_memory", {Kind::without_effect, "the backend decides"}},
      {"dataset.persistent_workers", {Kind::without_effect, "there are no loader workers"}},
      {"dataset.data_sharding", {Kind::without_effect, "ranks take samples in turn"}},
      {"dataset.skip_getting_attention_mask_from_dataset", {Kind::without_effect, "masks are not materialized"}},
      {"dataset.drop_last", {Kind::without_effect, "an epoch's last samples are joined with the next epoch's"}},
  };
  return all;
}

bool is_off(const std::string& value) {
  const std::string plain = value.size() >= 2 && value.front() == '"' ? value.substr(1, value.size() - 2) : value;
  for (const char* off : {"", "0", "0.0", "false", "False", "null", "None", "none", "[]"})
    if (plain == off) return true;
  return false;
}

/// What the argument of that name says; "no_x" too, which the field x switches off.
BridgeAnswer by_argument(const std::string& field, const std::string& value) {
  const MegatronArgument* a = find_megatron_argument("--" + field);
  if (a == nullptr) a = find_megatron_argument("--no-" + field);
  if (a == nullptr) return {};
  const bool is_possible =
      std::any_of(a->only.begin(), a->only.end(), [&](const std::string& only) { return only == value || "\"" + only + "\"" == value; });
  switch (a->kind) {
    case MegatronKind::without_effect: return {Kind::without_effect, a->reason};
    case MegatronKind::refused:
    case MegatronKind::conditional:
      if (is_possible || is_off(value)) return {Kind::without_effect, "it asks for nothing that is not there"};
      return {Kind::refused, a->reason};
    case MegatronKind::mapped: return a->field.empty() ? BridgeAnswer{} : BridgeAnswer{Kind::renamed, a->field};
    case MegatronKind::special: return {};
  }
  return {};
}

}  // namespace

BridgeAnswer bridge_field(std::string_view section, std::string_view field, const std::string& value) {
  const std::string in = underscored(section), name = underscored(field);
  BridgeAnswer answer;
  if (const auto known = fields().find(in + "." + name); known != fields().end()) answer = known->second;
  else if (const auto whole = sections().find(in); whole != sections().end()) answer = whole->second;
  else answer = by_argument(name, value);
  const bool is_one_piece = name.ends_with("parallel_size") && value == "1";
  if (answer.kind == Kind::refused && (is_off(value) || is_one_piece))
    return {Kind::without_effect, "it asks for nothing that is not there"};
  return answer;
}

std::vector<std::pair<std::string, BridgeAnswer>> bridge_rows() {
  std::vector<std::pair<std::string, BridgeAnswer>> rows(fields().begin(), fields().end());
  for (const auto& [section, answer] : sections()) rows.emplace_back(section + ".*", answer);
  return rows;
}

}  // namespace mbt

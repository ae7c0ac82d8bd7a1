#include "core/train/plan/plan.h"

#include "core/base/error.h"
#include "core/config/config_json.h"
#include "core/config/field_table.h"
#include "core/optim/optimizer.h"

namespace mbt {
namespace {

using Json = nlohmann::ordered_json;

const char* key_of(Origin::Kind kind) {
  switch (kind) {
    case Origin::Kind::default_value: return "default";
    case Origin::Kind::config_file: return "config_file";
    case Origin::Kind::command_line: return "command_line";
    case Origin::Kind::recipe: return "recipe";
    case Origin::Kind::synchronized: return "synchronised";
    case Origin::Kind::derived: return "derived";
    case Origin::Kind::hf_config: return "hf_config";
    case Origin::Kind::resolved: return "resolved";
    case Origin::Kind::checkpoint: return "checkpoint";
  }
  return "?";
}

const char* key_of(Execution e) { return e == Execution::native ? "native" : e == Execution::emulated ? "emulated" : "unsupported"; }

Json to_json(const Origin& o) { return {{"kind", key_of(o.kind)}, {"text", o.text}}; }

Json origins_json(const ResolvedRun& run) {
  RunConfig config = run.config;  // the table wants to be able to write
  const FieldTable table(config);
  Json origins = Json::object();
  for (const Field& f : table.all()) origins[f.path()] = to_json(origin_of(run.origins, f.path()));
  return origins;
}

Json overwrites_json(const ResolvedRun& run) {
  Json list = Json::array();
  for (const Overwrite& o : run.overwrites)
    list.push_back({{"section", o.section},
                    {"field", o.field},
                    {"old", *o.old_value},
                    {"new", *o.new_value},
                    {"old_origin", to_json(o.old_origin)},
                    {"source", o.source}});
  return list;
}

Json to_json(const OperandPlan& p) {
  Json json = {{"tensor", name_of(p.tensor)}, {"format", p.format}};
  if (!p.spec) return json;
  json["scaling"] = p.scaling;
  json["block"] = p.block;
  json["copy"] = p.is_columnwise ? "columnwise" : "rowwise";
  json["hadamard"] = p.has_hadamard;
  json["stochastic_rounding"] = p.has_stochastic_rounding;
  return json;
}

Json precision_map_json(const RunPlan& plan) {
  Json layers = Json::array();
  for (const LayerRangePlan& range : plan.precision_map) {
    Json gemms;
    for (const GemmPlan& g : range.gemms)
      gemms[std::string(name_of(g.role))] = {{"a", to_json(g.a)},
                                             {"b", to_json(g.b)},
                                             {"execution", key_of(g.support.execution)},
                                             {"how", g.support.how},
                                             {"fast_accumulation", g.fast_accumulation}};
    for (int64_t i = range.first; i <= range.last; ++i)
      layers.push_back({{"layer", i}, {"linears", {"qkv", "proj", "fc1", "fc2"}}, {"quantised", range.is_quantized}, {"gemms", gemms}});
  }
  return layers;
}

Json parameters_json(const RunPlan& plan) {
  Json groups = Json::object();
  for (const ParameterGroup& g : plan.parameters) groups[g.name] = g.elements;
  const ModelConfig& m = plan.run.config.model;
  return {{"groups", groups}, {"total", total_elements(plan.parameters)}, {"padded_vocab_size", m.padded_vocab_size()}};
}

Json memory_json(const RunPlan& plan) {
  Json categories = Json::object();
  for (const MemoryItem& item : plan.memory) categories[item.category] = item.bytes;
  const MemoryFit& fit = plan.fit;
  Json device = {{"name", plan.device}, {"free", nullptr}, {"is_limit", nullptr}, {"fits", nullptr}, {"advice", fit.advice}};
  if (fit.available) device["free"] = fit.available->bytes, device["is_limit"] = fit.available->is_limit, device["fits"] = fit.fits();
  return {{"categories", categories}, {"total", total_bytes(plan.memory)}, {"device", device}};
}

RunLength plan_length(const RunConfig& config, int ranks) {
  const TrainConfig& t = config.train;
  const int64_t per_iteration = t.global_batch_size * config.model.seq_length;
  return {.ranks = ranks,
          .iterations = t.iterations(),
          .micro_batches = t.global_batch_size / (t.micro_batch_size * ranks),
          .samples = t.iterations() * t.global_batch_size,
          .tokens = t.iterations() * per_iteration,
          .tokens_per_iteration = per_iteration};
}

}  // namespace

RunPlan make_plan(ResolvedRun run, int ranks, const DeviceQueries& device) {
  RunPlan plan;
  plan.run = std::move(run);
  plan.device = device.name;
  const RunConfig& config = plan.run.config;
  plan.policy = make_policy(config.model, config.ddp);
  plan.precision_map = plan_precision(plan.policy, device.support);
  require_support(plan.precision_map, plan.device, config.train.emulate_precision);
  require_sizes(config, plan.policy, device);
  plan.attention = plan_attention(config.model, plan.policy, plan.device, device.attention);
  plan.parameters = count_parameters(config.model);
  plan.memory = plan_memory(config, plan.policy, device, ranks, !config.validation.skip_train);
  plan.fit = fit_memory(config, plan.policy, device, ranks);
  plan.exchange = plan_exchange(plan_weights(config.model, plan.policy, true, device.wants_transposed, moment_types(config.optimizer),
                                             sharding_of(config.ddp, 0, ranks)),
                                plan.policy);
  plan.flops = count_flops(config.model);
  plan.length = plan_length(config, ranks);
  return plan;
}

nlohmann::ordered_json to_json(const RunPlan& plan) {
  const PrecisionPolicy& p = plan.policy;
  const RunLength& l = plan.length;
  const RunConfig& config = plan.run.config;
  return {
      {"config", to_json(config)},
      {"origins", origins_json(plan.run)},
      {"overwrites", overwrites_json(plan.run)},
      {"notes", plan.run.notes},
      {"device", plan.device},
      {"precision",
       {{"activations", name_of(p.act)},
        {"main_gradients", name_of(p.main_grad)},
        {"gradient_exchange", name_of(p.grad_reduce)},
        {"quantised_parameters", p.quantized_params}}},
      {"precision_map", precision_map_json(plan)},
      {"attention", {{"asked", name_of(config.model.attention_backend)}, {"path", plan.attention.path}, {"how", plan.attention.how}}},
      {"parameters", parameters_json(plan)},
      {"memory", memory_json(plan)},
      {"exchange",
       {{"buckets", plan.exchange.buckets},
        {"reduce_scatter_bytes", plan.exchange.reduce_scatter_bytes},
        {"all_gather_bytes", plan.exchange.all_gather_bytes}}},
      {"flops_per_token", plan.flops.total()},
      {"flops",
       {{"attention_projections", plan.flops.attention_projections},
        {"mlp", plan.flops.mlp},
        {"attention_core", plan.flops.attention_core},
        {"logits", plan.flops.logits}}},
      {"run",
       {{"ranks", l.ranks},
        {"iterations", l.iterations},
        {"micro_batch_size", config.train.micro_batch_size},
        {"global_batch_size", config.train.global_batch_size},
        {"micro_batches", l.micro_batches},
        {"sequence_length", config.model.seq_length},
        {"tokens_per_iteration", l.tokens_per_iteration},
        {"samples", l.samples},
        {"tokens", l.tokens}}},
  };
}

}  // namespace mbt

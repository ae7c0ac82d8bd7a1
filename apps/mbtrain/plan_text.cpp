#include "apps/mbtrain/plan_text.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/text_table.h"
#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/config/field_table.h"
#include "core/recipe/finalize.h"

namespace mbt {
namespace {

constexpr const char* kRecipeName = "mixed_precision.name";

std::string heading(const std::string& title) { return "\n" + title + "\n"; }

std::string share(int64_t part, int64_t total) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "%.1f%%", 100.0 * static_cast<double>(part) / static_cast<double>(total));
  return buffer;
}

/// A copy of the field of the same name elsewhere: the section says it all.
std::string origin_text(const Field& field, const Origin& origin) {
  const std::string same_name = fmt::format(".{}", field.info.name);
  const size_t at = origin.text.rfind(same_name);
  const bool is_same = at != std::string::npos && at + same_name.size() == origin.text.size();
  return origin.kind == Origin::Kind::synchronized && is_same ? "synchronized " + origin.text.substr(0, at) : to_string(origin);
}

std::string config_text(const RunPlan& plan, bool show_all) {
  RunConfig config = plan.run.config, plain;
  finalize(plain.mixed_precision);
  const FieldTable table(config), defaults(plain);
  TextTable rows("lll");
  for (size_t i = 0; i < table.all().size(); ++i) {
    const Field& field = table.all()[i];
    if (field.path() == kRecipeName) continue;  // in the first line, and too long for a column
    const Origin origin = origin_of(plan.run.origins, field.path());
    const bool is_copy = origin.kind == Origin::Kind::synchronized;
    if (show_all || (!is_copy && field.get() != defaults.all()[i].get()))
      rows.add({field.path(), json_text(field.get()), origin_text(field, origin)});
  }
  const std::string lines = rows.str();
  return heading(show_all ? "Configuration" : "Configuration, where it differs from the defaults (--all: everything)") +
         (lines.empty() ? "  nothing\n" : lines);
}

std::string overwrites_text(const RunPlan& plan, bool show_all) {
  TextTable rows("lllll");
  int64_t unseen = 0;
  for (const bool given : {true, false})  // what someone wrote comes first: that is news
    for (const Overwrite& o : plan.run.overwrites) {
      if (o.was_given() != given) continue;
      if (given || show_all)
        rows.add({o.section + "." + o.field, json_text(o.old_value), "->", json_text(o.new_value), "was: " + to_string(o.old_origin)});
      else ++unseen;
    }
  std::string lines = rows.str();
  if (unseen > 0) lines += fmt::format("  {} defaults of model, optimizer and ddp (--all lists them)\n", unseen);
  return heading("Overwritten by mixed_precision") + (lines.empty() ? "  nothing\n" : lines);
}

std::string operand_text(const OperandPlan& p) {
  std::string s = fmt::format("{} {}", name_of(p.tensor), p.format);
  if (!p.spec) return s;
  s += fmt::format(" {}", p.scaling);
  if (p.block != "tensor") s += " " + p.block;
  if (p.has_hadamard) s += " hadamard";
  if (p.has_stochastic_rounding) s += " stochastic";
  return s;
}

const char* execution_text(Execution e) {
  return e == Execution::native ? "native" : e == Execution::emulated ? "emulated" : "UNSUPPORTED";
}

/// How linear weights of quantized layers are kept; nothing where no layer is quantized.
std::string quantized_weights_text(const RunPlan& plan) {
  const PrecisionPolicy& p = plan.policy;
  const bool any = std::any_of(p.layers.begin(), p.layers.end(), [](const LinearPrecision& layer) { return layer.is_quantized(); });
  if (!any) return "";
  return "; quantized weights kept as " + (p.quantized_params ? "codes alone" : fmt::format("codes beside {}", name_of(p.act)));
}

std::string precision_text(const RunPlan& plan) {
  TextTable rows("lllll");
  rows.add({"layers", "GEMM", "first operand", "second operand", "on " + plan.device});
  std::vector<std::string> explanations;
  for (const LayerRangePlan& range : plan.precision_map)
    for (const GemmPlan& g : range.gemms) {
      const std::string layers = range.first == range.last ? fmt::format("{}", range.first) : fmt::format("{}-{}", range.first, range.last);
      rows.add({&g == range.gemms.data() ? layers : "", std::string(name_of(g.role)), operand_text(g.a), operand_text(g.b),
                execution_text(g.support.execution)});
      const std::string how = fmt::format("{}: {}", execution_text(g.support.execution), g.support.how);
      if (!g.support.how.empty() && std::find(explanations.begin(), explanations.end(), how) == explanations.end())
        explanations.push_back(how);
    }
  const PrecisionPolicy& p = plan.policy;
  std::string lines = rows.str();
  for (const std::string& how : explanations) lines += "  " + how + "\n";
  lines += fmt::format(
      "  The same for qkv, proj, fc1 and fc2. Embeddings, norms, attention, residual stream, head: {}; loss: f32;\n  main gradients: {}; "
      "gradient exchange: {}{}\n  attention: {} ({})\n",
      name_of(p.act), name_of(p.main_grad), name_of(p.grad_reduce), quantized_weights_text(plan), plan.attention.path, plan.attention.how);
  return heading("Precision of the linear layers") + lines;
}

std::string parameters_text(const RunPlan& plan) {
  const int64_t total = total_elements(plan.parameters);
  TextTable rows("lrr");
  for (const ParameterGroup& g : plan.parameters)
    if (g.elements > 0) rows.add({g.name, with_commas(g.elements), share(g.elements, total)});
  rows.add({"total", with_commas(total), ""});
  const ModelConfig& m = plan.run.config.model;
  return heading("Parameters") + rows.str() +
         fmt::format("  vocabulary {} padded to {}{}", m.vocab_size, m.padded_vocab_size(),
                     m.share_embeddings_and_output_weights ? "; head tied to the word embeddings\n" : "\n");
}

/// What the trainer will say of it, before it says it.
std::string fit_text(const RunPlan& plan) {
  const MemoryFit& fit = plan.fit;
  if (!fit.available) return fmt::format("  {} does not tell how much it has free\n", plan.device);
  const std::string free = human_bytes(static_cast<int64_t>(fit.available->bytes));
  const char* const hint = fit.available->is_limit ? "" : ", the system's estimate and no limit";
  if (fit.fits()) return fmt::format("  Fits: {} has {} free{}\n", plan.device, free, hint);
  return fmt::format("  DOES NOT FIT: {} has {} free{}. {}\n", plan.device, free, hint, fit.advice);
}

std::string memory_text(const RunPlan& plan) {
  TextTable rows("lrl");
  for (const MemoryItem& item : plan.memory)
    if (item.bytes > 0) rows.add({item.category, human_bytes(item.bytes), item.what});
  rows.add({"total", human_bytes(total_bytes(plan.memory)), ""});
  return heading("Memory of one rank") + rows.str() + fit_text(plan);
}

/// What goes between ranks; nothing with one.
std::string exchange_text(const RunPlan& plan) {
  const ExchangePlan& e = plan.exchange;
  if (e.buckets == 0) return "";
  const bool is_sharded = plan.run.config.ddp.use_distributed_optimizer;
  return fmt::format("  Between ranks, an iteration: {} of gradients reduce-scattered in {}{}{}{} gathered\n",
                     human_bytes(e.reduce_scatter_bytes), e.buckets, e.buckets == 1 ? " bucket, " : " buckets, ",
                     human_bytes(e.all_gather_bytes), is_sharded ? " of parameters" : " of them");
}

std::string run_text(const RunPlan& plan) {
  const RunLength& l = plan.length;
  const TrainConfig& t = plan.run.config.train;
  TextTable rows("lr");
  rows.add({"FLOPs per token", human_number(plan.flops.total())});
  rows.add({"FLOPs per iteration", human_number(plan.flops.total() * static_cast<double>(l.tokens_per_iteration))});
  rows.add({"FLOPs of the run", human_number(plan.flops.total() * static_cast<double>(l.tokens))});
  rows.add({"iterations", with_commas(l.iterations)});
  rows.add({"samples", with_commas(l.samples)});
  rows.add({"tokens", with_commas(l.tokens)});
  return heading("Run") + rows.str() +
         fmt::format("  An iteration: {} samples of {} tokens = {}{} x {} micro-batches x {}\n", t.global_batch_size,
                     plan.run.config.model.seq_length, l.ranks, l.ranks == 1 ? " rank" : " ranks", l.micro_batches, t.micro_batch_size) +
         exchange_text(plan);
}

}  // namespace

std::string plan_text(const RunPlan& plan, bool show_all) {
  std::string out = fmt::format("Plan: {} ({}) on {}\n", plan.run.config.mixed_precision.name,
                                to_string(origin_of(plan.run.origins, kRecipeName)), plan.device);
  if (!plan.run.notes.empty()) out += heading("Notes");
  for (const std::string& note : plan.run.notes) out += "  - " + wrapped(note, 116, 4) + "\n";
  return out + config_text(plan, show_all) + overwrites_text(plan, show_all) + precision_text(plan) + parameters_text(plan) +
         memory_text(plan) + run_text(plan);
}

}  // namespace mbt

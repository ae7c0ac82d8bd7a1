#include "apps/mbtrain/start_log.h"

#include <algorithm>

#include "apps/mbtrain/log.h"
#include "apps/mbtrain/text_table.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/train/plan/plan_precision.h"
#include "kernels/gpus.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

/// The recipe's name, and its fields that the user set over it.
std::string recipe_text(const ResolvedRun& run) {
  const std::string section = "mixed_precision.";
  const bool is_saved = origin_of(run.origins, section + "name").kind == Origin::Kind::resolved;  // its settings are those of that run
  std::vector<std::string> changed;
  for (const auto& [field, origin] : run.origins)
    if (field.rfind(section, 0) == 0 && field != section + "name" &&
        (is_saved ? is_said(origin) : origin.kind == Origin::Kind::command_line))
      changed.push_back(field.substr(section.size()));
  return run.config.mixed_precision.name +
         (changed.empty() ? "" : ", with " + join(changed, ", ") + (is_saved ? " set over it" : " of the command line"));
}

/// How a device runs the products of all layers.
std::string execution_text(const std::vector<LayerRangePlan>& layers, const std::string& device) {
  size_t native = 0, emulated = 0;
  for (const LayerRangePlan& range : layers)
    for (const GemmPlan& g : range.gemms) ++(g.support.execution == Execution::emulated ? emulated : native);
  if (emulated == 0) return fmt::format("all products native on {}", device);
  return fmt::format("{} products emulated on {}", native == 0 ? "all" : "some", device);
}

void log_model(const ModelConfig& m, const Trainer& trainer) {
  log_info(fmt::format("model: {:.3f} M parameters, {} layers of width {}, {} heads, vocabulary {}",
                       static_cast<double>(trainer.num_params()) * 1e-6, m.num_layers, m.hidden_size, m.num_attention_heads, m.vocab_size));
}

void log_recipe(const ResolvedRun& run, const Backend& backend) {
  const std::vector<LayerRangePlan> layers = plan_precision(make_policy(run.config.model, run.config.ddp), queries_of(backend).support);
  log_info(fmt::format("recipe: {}; {}", recipe_text(run), execution_text(layers, backend.name())));
  for (const std::string& note : emulation_notes(layers, backend.name())) log_info("  " + note);
}

void log_data(const Dataset& dataset) {
  log_info(fmt::format("data: {}", dataset.describe()));
  if (dataset.entropy_rate())
    log_info(fmt::format("  no model can do better than {:.4f} nats a token on this data", *dataset.entropy_rate()));
}

void log_saving(const CheckpointConfig& c) {
  if (c.save.empty()) return log_info("saves: nothing, since checkpoint.save (--save) is empty");
  const std::string when = c.save_interval ? fmt::format("every {} iterations and at the end", *c.save_interval) : "at the end";
  log_info(fmt::format("saves: checkpoints in {}, {}; beside them run.json and console.log", c.save, when));
}

void log_length(const RunConfig& c, const Trainer& trainer) {
  if (c.validation.skip_train) return log_info("length: an evaluation alone (validation.skip_train)");
  const int64_t iterations = c.train.iterations(), done = trainer.state().iteration;
  const int64_t tokens = iterations * c.train.global_batch_size * c.model.seq_length;
  const std::string to_go = done > 0 ? fmt::format("; {} done, {} to go", done, std::max<int64_t>(iterations - done, 0)) : "";
  log_info(fmt::format("length: {} iterations of {} x {} tokens, {} tokens in all{}", iterations, c.train.global_batch_size,
                       c.model.seq_length, with_commas(tokens), to_go));
}

void log_details(const ResolvedRun& run, const Backend& backend, World& world, const Trainer& trainer) {
  if (world.ranks() > 1)
    log_info(fmt::format("ranks: {}, {} on this host ({}), over {}", world.ranks(), world.place().local_ranks, world.place().host,
                         trainer.transport()));
  for (const auto& [what, value] : backend.facts()) log_info(fmt::format("{}: {}", what, value));
  for (const Overwrite& o : run.overwrites) {
    log_debug(
        fmt::format("{}.{}: {} ({}) -> {}", o.section, o.field, json_text(o.old_value), to_string(o.old_origin), json_text(o.new_value)));
  }
  if (!run.overwrites.empty())
    log_info(fmt::format("the recipe overwrote {} precision settings (mbtrain plan lists them)", run.overwrites.size()));
}

/// A GPU that "auto" passes over is said: a run of hours on the CPU is not what its owner expects.
void warn_of_unused_gpu() {
  const GpuProbe gpus = probe_gpus();
  if (!gpus.devices.empty()) log_warning(fmt::format("the GPU is not used: {}", gpu_problem(gpus, cuda_build())));
}

}  // namespace

void log_start(const ResolvedRun& run, const Backend& backend, World& world, const Dataset& dataset, const Trainer& trainer) {
  const RunConfig& c = run.config;
  log_model(c.model, trainer);
  log_recipe(run, backend);
  log_data(dataset);
  log_saving(c.checkpoint);
  log_length(c, trainer);
  log_details(run, backend, world, trainer);
  if (c.train.device == DeviceChoice::automatic && backend.name() == "cpu") warn_of_unused_gpu();
  for (const std::string& note : run.notes) log_warning(note);  // last, so that nothing scrolls them away before the first step
}

}  // namespace mbt

#include "core/train/trainer_load.h"

#include <filesystem>

#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/comm/gather.h"
#include "core/config/config_json.h"
#include "core/config/field_table.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/train/checkpoint/checkpoint_folder.h"

namespace mbt {
namespace {

/// Paths change when folders move; it is the tokens that must not.
void compare_tokenizer(const LoadedParts& run, const CheckpointReader& checkpoint, const RunConfig& saved) {
  if (run.config.tokenizer == saved.tokenizer || run.config.tokenizer.tokenizer_type == TokenizerType::none ||
      saved.tokenizer.tokenizer_type == TokenizerType::none)
    return;
  const std::unique_ptr<Tokenizer> now = make_tokenizer(run.config.tokenizer);
  const TokenizerFiles carried = load_tokenizer_files(checkpoint);
  const std::unique_ptr<Tokenizer> then = has_tokenizer(carried) ? open_tokenizer(carried, checkpoint.path()) : make_byte_tokenizer();
  if (now->fingerprint() != then->fingerprint())
    run.observer.on_warning(
        fmt::format("the tokenizer is another than the checkpoint's ({} instead of {}): the model has learned what other tokens mean. If "
                    "this is not meant, leave tokenizer.tokenizer_model as it was",
                    now->describe(), then->describe()));
}

/// Moments of another dtype were converted on their way in.
void report_converted_moments(const LoadedParts& run, const OptimizerConfig& saved) {
  const auto report = [&](const char* moment, MomentDtype from, MomentDtype to) {
    if (from == to) return;
    run.observer.on_message(fmt::format("Adam's {} moment was saved in {} and continues in {}{}", moment, name_of(from), name_of(to),
                                        to == MomentDtype::fp32 ? ", the same values" : ", rounded to nearest even"));
  };
  report("first", saved.exp_avg_dtype, run.config.optimizer.exp_avg_dtype);
  report("second", saved.exp_avg_sq_dtype, run.config.optimizer.exp_avg_sq_dtype);
}

/// A run that goes on under other settings says so: it is what someone wants, or a mistake that nothing else would show.
void compare_with_checkpoint(const LoadedParts& run, const RunConfig& saved) {
  const SchedulerConfig& s = run.config.scheduler;
  if (s.use_checkpoint_opt_param_scheduler) {
    run.schedule = LrSchedule(saved.optimizer, saved.scheduler, saved.train);
    run.observer.on_message(
        "the learning rate and weight decay follow the checkpoint's schedule (scheduler.use_checkpoint_opt_param_scheduler)");
  }
  std::vector<std::string> changes, of_model;
  RunConfig now = run.config;
  const FieldTable table(now);
  for (const FieldDifference& d : difference(saved, run.config)) {
    const std::string section = d.path.substr(0, d.path.find('.'));
    const bool is_schedule = section == "optimizer" || section == "scheduler";
    const bool is_chosen = is_schedule && (s.use_checkpoint_opt_param_scheduler || s.override_opt_param_scheduler);
    const bool counts = is_schedule || section == "model" || section == "dataset" || section == "tokenizer" || section == "rng" ||
                        section == "mixed_precision" || d.path == "train.global_batch_size";
    if (!counts || is_chosen || d.path.rfind("scheduler.override", 0) == 0) continue;
    const bool is_other_model = table.find(section, d.path.substr(section.size() + 1))->info.is_architecture;
    (is_other_model ? of_model : changes).push_back(fmt::format("{} {} -> {}", d.path, json_text(d.left), json_text(d.right)));
  }
  if (!of_model.empty())
    run.observer.on_warning(
        fmt::format("the checkpoint is of a model that computes something else, though its weights have the same shapes: {}. If this is "
                    "not meant, load with its own config, run_config.json in the checkpoint",
                    join(of_model, ", ")));
  const auto samples = [](const RunConfig& c) { return c.train.iterations() * c.train.global_batch_size; };
  if (run.dataset.order(Split::train) == SampleOrder::own && samples(saved) != samples(run.config))
    run.observer.on_warning(
        fmt::format("the order of this data depends on the length of the run, which was {} samples and is {}: samples that were seen may "
                    "come again, and others later (docs/data.md)",
                    samples(saved), samples(run.config)));
  if (!changes.empty())
    run.observer.on_message(fmt::format("continues with other settings than the checkpoint's: {}", join(changes, ", ")));
}

/// Makes no exchanges: what is wrong on one rank, all are told.
void load_from(const LoadedParts& run, const std::string& path) {
  const CheckpointConfig& c = run.config.checkpoint;
  const CheckpointReader checkpoint(path, c.verify_integrity);
  load_weights(checkpoint, run.weights);
  if (run.world.is_first()) {
    check_source_window(checkpoint, run.config.model);
    run.saver.carry(files_to_carry(run.config, &checkpoint));
  }
  if (!c.finetune) {
    const bool with_moments = c.load_optim && !run.weights.exp_avg().empty();  // an evaluation has none
    run.state = load_training_state(checkpoint, run.backend, run.weights, run.scaler, with_moments);
    const RunConfig saved = load_run_config(checkpoint);
    compare_with_checkpoint(run, saved);
    compare_tokenizer(run, checkpoint, saved);
    if (with_moments) report_converted_moments(run, saved.optimizer);
    if (!with_moments) run.state.optimizer_updates = 0;  // Adam's bias correction starts again with its moments
    run.optimizer.set_updates(run.state.optimizer_updates);
  }
  run.observer.on_message(fmt::format("loaded checkpoint {} at iteration {}", path, run.state.iteration));
}

}  // namespace

void load_run(const LoadedParts& run) {
  const CheckpointConfig& c = run.config.checkpoint;
  std::string path;  // the same on every rank, whatever its file system shows
  agree(run.world, [&] {
    if (!run.world.is_first()) return;
    const bool may_start = is_same_folder(c.save, c.load);
    std::error_code none;
    if (may_start && !c.ckpt_step && !std::filesystem::exists(c.load, none)) return;  // the run's first start makes it
    const std::optional<FoundCheckpoint> found = find_checkpoint(c.load, c.ckpt_step);
    if (found) path = found->path;
    if (found && !found->note.empty()) run.observer.on_warning(found->note);
    if (!found && !may_start) throw InputError(fmt::format("checkpoint.load: {} holds no checkpoint (no iter_ folder in it)", c.load));
  });
  path = broadcast_text(run.world, path);
  if (path.empty()) return run.observer.on_message(fmt::format("{} holds no checkpoint yet: starting fresh", c.load));
  agree(run.world, [&] { load_from(run, path); });
}

}  // namespace mbt

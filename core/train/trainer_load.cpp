#include "core/train/trainer_load.h"

#include <algorithm>
#include <functional>
#include <set>

#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/comm/gather.h"
#include "core/config/architecture.h"
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

/// Sections of which a field changes training, results or when the run ends, unless it is one of `idle`; and fields of others that do.
/// A tokenizer is compared by its tokens, not by its path.
bool changes_training(const std::string& section, const std::string& path) {
  static const std::set<std::string> sections = {"model", "optimizer", "scheduler", "dataset", "rng", "mixed_precision"};
  static const std::set<std::string> idle = {"model.hf_path",
                                             "model.init_method_std",
                                             "model.embedding_init_method_std",
                                             "model.recompute_granularity",
                                             "model.recompute_method",
                                             "model.recompute_num_layers",
                                             "model.autocast_dtype",
                                             "model.pipeline_dtype",
                                             "optimizer.log_num_zeros_in_grad",
                                             "optimizer.use_distributed_optimizer",
                                             "optimizer.overlap_param_gather",
                                             "dataset.path_to_cache",
                                             "mixed_precision.autocast_enabled",
                                             "mixed_precision.autocast_dtype",
                                             "mixed_precision.pipeline_dtype"};
  static const std::set<std::string> fields = {"train.micro_batch_size",    "train.global_batch_size",
                                               "train.train_iters",         "train.train_samples",
                                               "train.iterations_to_skip",  "train.check_for_nan_in_loss",
                                               "train.nan_policy",          "ddp.grad_reduce_in_fp32",
                                               "ddp.average_in_collective", "ddp.reduce_scatter_with_fp32_accumulation",
                                               "ddp.check_for_nan_in_grad"};
  return (sections.count(section) > 0 && idle.count(path) == 0) || fields.count(path) > 0;
}

/// What the two flags of the scheduler are about.
bool is_of_schedule(const std::string& section, const std::string& path) {
  return section == "scheduler" || path == "optimizer.lr" || path == "optimizer.min_lr" || path == "optimizer.weight_decay";
}

struct SettingChanges {
  std::vector<std::string> of_schedule, others;
};

SettingChanges setting_changes(const RunConfig& saved, RunConfig now) {
  SettingChanges changes;
  const std::vector<FieldDifference> all = difference(saved, now);
  const FieldTable table(now);
  const bool is_same_length = saved.train.schedule_samples() == now.train.schedule_samples() &&
                              saved.train.iterations() == now.train.iterations();  // given in other words
  for (const FieldDifference& d : all) {
    const std::string section = d.path.substr(0, d.path.find('.'));
    const bool is_length = d.path == "train.train_iters" || d.path == "train.train_samples";
    const bool is_flag = d.path == "scheduler.override_opt_param_scheduler" || d.path == "scheduler.use_checkpoint_opt_param_scheduler";
    if (!changes_training(section, d.path) || is_flag || (is_length && is_same_length)) continue;
    if (is_of_architecture(*table.find(section, d.path.substr(section.size() + 1)))) continue;  // resolve_loading() names it
    std::vector<std::string>& list = is_of_schedule(section, d.path) ? changes.of_schedule : changes.others;
    list.push_back(fmt::format("{} {} -> {}", d.path, json_text(d.left), json_text(d.right)));
  }
  return changes;
}

/// Learning rate or weight decay, by the samples of successful steps.
using RateOf = std::function<double(const LrSchedule&, int64_t)>;

/// What the run's schedule makes of the next step, or of the first of some later ones, where the checkpoint's had something else. Empty:
/// the same.
std::string rate_change(const LoadedParts& run, const RunConfig& saved, const char* name, const RateOf& rate) {
  const LrSchedule then(saved.optimizer, saved.scheduler, saved.train);
  const int64_t batch = run.config.train.global_batch_size, steps = run.config.train.iterations() - run.state.iteration;
  constexpr int64_t kLooks = 16;
  for (int64_t look = 0; look < std::min(kLooks, steps); ++look) {
    const int64_t step = look * steps / std::min(kLooks, steps), samples = run.state.scheduler_samples + step * batch;
    const double before = rate(then, samples), now = rate(run.schedule, samples);
    if (before == now) continue;
    std::string text = fmt::format("the {} of iteration {} is {:.6E}, where the checkpoint's schedule has {:.6E}", name,
                                   run.state.iteration + step + 1, now, before);
    if (step > 0) return fmt::format("{}; that of iteration {} is the same", text, run.state.iteration + 1);
    if (run.state.optimizer_updates == 0) return text;
    const int64_t last = std::max<int64_t>(0, samples - saved.train.global_batch_size);
    return fmt::format("{}; the last step before it had {:.6E}", text, rate(then, last));
  }
  return "";
}

/// A length that only says when the run ends changes the way there too: that is easily overlooked, and a warning.
void report_rates(const LoadedParts& run, const RunConfig& saved, bool is_asked_for) {
  if (run.config.validation.skip_train || !run.world.is_first()) return;
  const std::string changes[] = {rate_change(run, saved, "learning rate", [](const LrSchedule& s, int64_t n) { return s.lr(n); }),
                                 rate_change(run, saved, "weight decay", [](const LrSchedule& s, int64_t n) { return s.weight_decay(n); })};
  for (const std::string& change : changes) {
    if (change.empty()) continue;
    if (is_asked_for) run.observer.on_message(change);
    else
      run.observer.on_warning(
          fmt::format("{}: schedules are measured by the run's length and batch. To keep the checkpoint's, set "
                      "scheduler.use_checkpoint_opt_param_scheduler, or the lengths of the scheduler section",
                      change));
  }
}

/// With the checkpoint's schedule, what the run's config says about it is not used; with an override, it was asked for.
void report_schedule(const LoadedParts& run, const RunConfig& saved, const std::vector<std::string>& changes) {
  const SchedulerConfig& s = run.config.scheduler;
  const std::string list = changes.empty() ? "" : fmt::format(": {}", join(changes, ", "));
  if (s.use_checkpoint_opt_param_scheduler) {
    run.schedule = LrSchedule(saved.optimizer, saved.scheduler, saved.train);
    run.observer.on_message(
        fmt::format("the learning rate and weight decay follow the checkpoint's schedule "
                    "(scheduler.use_checkpoint_opt_param_scheduler){}{}",
                    changes.empty() ? "" : "; not used", list));
  } else if (s.override_opt_param_scheduler && !changes.empty()) {
    run.observer.on_message(fmt::format("the run's schedule replaces the checkpoint's (scheduler.override_opt_param_scheduler){}", list));
  }
}

/// A run that goes on under other settings says so: it is what someone wants, or a mistake that nothing else would show.
void compare_with_checkpoint(const LoadedParts& run, const RunConfig& saved) {
  const SchedulerConfig& s = run.config.scheduler;
  SettingChanges changes = setting_changes(saved, run.config);
  report_schedule(run, saved, changes.of_schedule);
  const auto samples = [](const RunConfig& c) { return c.train.iterations() * c.train.global_batch_size; };
  if (run.dataset.order(Split::train) == SampleOrder::own && samples(saved) != samples(run.config))
    run.observer.on_warning(
        fmt::format("the order of this data depends on the length of the run, which was {} samples and is {}: samples that were seen may "
                    "come again, and others later (docs/data.md)",
                    samples(saved), samples(run.config)));
  std::vector<std::string>& named = changes.others;
  if (!s.use_checkpoint_opt_param_scheduler && !s.override_opt_param_scheduler)
    named.insert(named.begin(), changes.of_schedule.begin(), changes.of_schedule.end());
  if (!named.empty()) run.observer.on_message(fmt::format("continues with other settings than the checkpoint's: {}", join(named, ", ")));
  report_rates(run, saved, !changes.of_schedule.empty() || s.override_opt_param_scheduler);
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
  const RunConfig saved = load_run_config(checkpoint);
  compare_tokenizer(run, checkpoint, saved);
  if (!c.finetune) {
    const bool with_moments = c.load_optim && !run.weights.exp_avg().empty();  // an evaluation has none
    run.state = load_training_state(checkpoint, run.backend, run.weights, run.scaler, with_moments);
    compare_with_checkpoint(run, saved);
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
    const std::optional<FoundCheckpoint> found = find_start(c);
    if (found) path = found->path;
    if (found && !found->note.empty()) run.observer.on_warning(found->note);
  });
  path = broadcast_text(run.world, path);
  if (path.empty()) return run.observer.on_message(fmt::format("{} holds no checkpoint yet: starting fresh", c.load));
  agree(run.world, [&] { load_from(run, path); });
}

}  // namespace mbt

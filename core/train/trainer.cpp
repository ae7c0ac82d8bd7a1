#include "core/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/backend/range.h"
#include "core/base/strings.h"
#include "core/comm/gather.h"
#include "core/model/flops.h"
#include "core/model/initialize.h"
#include "core/parallel/replica_check.h"
#include "core/train/start.h"
#include "core/train/trainer_load.h"

namespace mbt {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

uint64_t seed_of(const RunConfig& c) { return static_cast<uint64_t>(c.rng.seed); }

MicroBatch view_of(const Batch& b) {
  const auto optional = [](const std::vector<int32_t>& values) { return values.empty() ? nullptr : values.data(); };
  return {.tokens = b.tokens.data(),
          .targets = b.targets.data(),
          .loss_mask = b.loss_mask.data(),
          .document_start = optional(b.document_start),
          .positions = optional(b.positions)};
}

/// Says the warning before the allocations it is about. Before ranks wait for each other, so that a refusal is told once.
MemoryCheck checked_memory(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend, World& world,
                           TrainObserver& observer) {
  MemoryCheck check;
  agree(world, [&] { check = check_memory(config, policy, backend, world.ranks()); });
  if (!check.warning.empty()) observer.on_warning(check.warning);
  return check;
}

const char* name_of_evaluated(Split split) { return split == Split::valid ? "validation" : "test"; }

/// None for an evaluation alone: its data may be of other splits only.
std::optional<BatchPrefetcher> training_batches(const RunConfig& config, const Dataset& dataset, int ranks) {
  if (config.validation.skip_train) return std::nullopt;
  const int64_t micro_batch = config.train.micro_batch_size;
  return BatchPrefetcher({dataset, Split::train, micro_batch, data_seed(config.dataset, config.rng.seed)}, micro_batch * ranks);
}

double sum_over_ranks(World& world, double mine) {
  const std::vector<double> all = gather_values(world, mine);
  return std::accumulate(all.begin(), all.end(), 0.0);
}

bool has_non_finite(const std::vector<float>& values) {
  return std::any_of(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
}

/// Of what ranks have said, the first that is something.
std::string first_said(const std::vector<std::string>& of_ranks) {
  const auto at = std::find_if(of_ranks.begin(), of_ranks.end(), [](const std::string& s) { return !s.empty(); });
  return at == of_ranks.end() ? std::string() : *at;
}

constexpr const char* kWhyNoTokens =
    "Look at dataset.eod_mask_loss with dataset.eod_token_id, or at which turns of a conversation are learned; mbtrain data inspect shows "
    "samples with their loss mask";

/// The last micro-batch of a split is filled up with samples that have been scored: they are not in the loss again.
void leave_out_after(Batch& b, int64_t rows) {
  if (rows < b.batch) std::fill(b.loss_mask.begin() + rows * b.seq, b.loss_mask.end(), 0.0F);
}

/// 0 / 0 is no loss: nothing was measured.
double mean_loss(double sum, double tokens) { return tokens > 0.0 ? sum / tokens : std::nan(""); }

double tokens_in_loss(const Batch& b) { return std::accumulate(b.loss_mask.begin(), b.loss_mask.end(), 0.0); }

}  // namespace

Trainer::Trainer(Backend& backend, World& world, const RunConfig& config, const PrecisionPolicy& policy, const Dataset& dataset,
                 TrainObserver& observer) try
    : backend_(backend),
      world_(world),
      config_(config),
      policy_(policy),
      dataset_(dataset),
      observer_(observer),
      memory_(checked_memory(config, policy, backend, world, observer)),
      weights_(backend, config.model, policy, !config.validation.skip_train, moment_types(config.optimizer),
               sharding_of(config.ddp, world.rank(), world.ranks(), !config.validation.skip_train)),
      transformer_(backend, config.model, policy, weights_, config.train.micro_batch_size, !config.validation.skip_train,
                   batch_inputs(config.dataset, config.model)),
      parallel_(backend, world, config.ddp, policy, weights_),
      optimizer_(backend, config.optimizer, weights_, &parallel_),
      scaler_(make_loss_scaler(config.optimizer)),
      schedule_(config.optimizer, config.scheduler, config.train),
      batches_(training_batches(config, dataset, world.ranks())),
      saver_(world, backend, weights_, config_) {
  backend_.reserve_scratch(static_cast<size_t>(memory_.scratch_bytes));
  transformer_.set_replay(config.train.cuda_graph);
  transformer_.set_amax_exchange([this](TensorView staged) { parallel_.reduce_amax(staged); });
  for (const std::string& note : schedule_.notes()) observer_.on_message(note);
  initialize_weights(weights_, config.model, seed_of(config));
  agree(world_, [&] {  // load_run() replaces it
    if (world_.is_first()) saver_.carry(files_to_carry(config, nullptr));
  });
  if (!config.checkpoint.load.empty()) {
    load_run({.config = config_,
              .dataset = dataset_,
              .backend = backend_,
              .world = world_,
              .observer = observer_,
              .weights = weights_,
              .optimizer = optimizer_,
              .scaler = scaler_,
              .schedule = schedule_,
              .saver = saver_,
              .state = state_});
  }
  parallel_.publish_masters();
} catch (const OutOfMemory& e) {
  throw OutOfMemory(fmt::format("{}\n{}", e.what(), memory_owners(config, policy, backend, world.ranks())));
}

/// Enqueues the gradients and the sum of losses, of all ranks; returns how many tokens are in the loss, of this rank. Rank r takes every
/// ranks-th micro-batch from the r-th on, so that the samples of a step do not depend on how many ranks there are.
double Trainer::accumulate_gradients() {
  const int64_t micro_batch = config_.train.micro_batch_size, ranks = world_.ranks();
  const int64_t micro_batches = config_.train.global_batch_size / (micro_batch * ranks);
  parallel_.begin_step();
  transformer_.reset_loss_sum();
  double tokens = 0.0;
  for (int64_t m = 0; m < micro_batches; ++m) {
    const int64_t first_sample = state_.consumed_samples + (m * ranks + world_.rank()) * micro_batch;
    const Batch batch = batches_->get(first_sample);
    const double in_loss = tokens_in_loss(batch);
    tokens += in_loss;
    // Upstream's normalization: each micro-batch's mean, averaged over the micro-batches. Per token: as if every position were in the loss,
    // which grad_factor() makes good.
    const double normalizer = config_.model.calculate_per_token_loss ? static_cast<double>(batch.loss_mask.size()) : std::max(1.0, in_loss);
    const double scale = static_cast<double>(scaler_.scale) * parallel_.loss_factor() / (normalizer * static_cast<double>(micro_batches));
    const PassContext pass{.is_training = true, .seed = seed_of(config_), .stream = static_cast<uint64_t>(first_sample)};
    transformer_.forward_backward(pass, view_of(batch), static_cast<float>(scale), parallel_.hooks(m == 0, m + 1 == micro_batches));
  }
  parallel_.reduce_gradients();
  return tokens;
}

/// Per-token loss: from the mean over all positions to that over the `tokens` of the global batch that are in the loss. Where there is
/// none, gradients are zero, and any factor will do.
double Trainer::grad_factor(double tokens) const {
  if (!config_.model.calculate_per_token_loss) return 1.0;
  return static_cast<double>(config_.train.global_batch_size * config_.model.seq_length) / std::max(1.0, tokens);
}

/// Once: data of which most is not in the loss would fill the log. report_empty_steps() counts.
void Trainer::report_empty_step(int64_t iteration) {
  if (empty_steps_++ > 0 || !world_.is_first()) return;
  observer_.on_warning(
      fmt::format("no token of iteration {}'s {} samples is in the loss: it has no loss (nan) and its gradients are zero. {}", iteration,
                  config_.train.global_batch_size, kWhyNoTokens));
}

void Trainer::report_empty_steps() const {
  if (empty_steps_ > 1 && world_.is_first())
    observer_.on_warning(fmt::format("{} iterations of this run had no token in the loss. {}", empty_steps_, kWhyNoTokens));
}

/// Throws on all ranks when no further step would change a weight, or at the end of a run none of whose steps has.
void Trainer::check_skipped_steps(bool is_end) const {
  if (skipped_steps_.is_stuck() || (is_end && skipped_steps_.was_in_vain()))
    throw AgreedError(fmt::format("iteration {}: {}", state_.iteration, skipped_steps_.why(scaler_)), 1);
  const std::string warning = is_end ? skipped_steps_.warning() : "";
  if (!warning.empty() && world_.is_first()) observer_.on_warning(warning);
}

/// Nothing is wrong with the numbers of a run whose micro-batches cannot be recorded, but it is slower than it could be.
void Trainer::report_replay() {
  const std::string& refusal = transformer_.replay_refusal();
  if (refusal.empty() || replay_is_reported_) return;
  replay_is_reported_ = true;
  observer_.on_message(fmt::format("{} (train.cuda_graph=false silences this)", refusal));
}

IterationRecord Trainer::step() {
  const auto start = Clock::now();
  const Range range(backend_, "step");
  IterationRecord r;
  r.iteration = state_.iteration + 1;
  r.train_iters = config_.train.iterations();
  r.global_batch_size = config_.train.global_batch_size;
  r.learning_rate = schedule_.lr(state_.scheduler_samples);
  r.loss_scale = static_cast<double>(scaler_.scale);
  if (is_skipped_by_user(r.iteration)) {
    r.was_skipped = true;
    r.loss = std::nan("");
  } else {
    const double tokens = sum_over_ranks(world_, accumulate_gradients());
    const bool guards = config_.train.check_for_nan_in_loss, aborts = guards && config_.train.nan_policy == NanPolicy::abort;
    const bool aborts_on_gradient = config_.ddp.check_for_nan_in_grad || (aborts && !scaler_.checks_gradients());
    const StepOutcome outcome = optimizer_.step(scaler_, r.learning_rate, schedule_.weight_decay(state_.scheduler_samples),
                                                guards || aborts_on_gradient, {.sum = transformer_.loss_sum(), .skip_non_finite = aborts},
                                                grad_factor(tokens));  // the one place where the host waits
    r.loss = mean_loss(outcome.loss_sum, tokens);
    r.is_nan = !std::isfinite(outcome.loss_sum);
    if (r.is_nan && aborts) handle_non_finite(r, true);
    r.grad_norm = outcome.grad_norm;
    if (config_.optimizer.log_num_zeros_in_grad) r.num_zeros = count_zero_gradients();
    r.was_skipped = outcome.was_skipped;
    if (!outcome.is_finite && aborts_on_gradient) handle_non_finite(r, false);
    skipped_steps_.add(fate_of(outcome.was_skipped, outcome.is_finite, r.loss_scale, scaler_));
    if (tokens == 0.0) report_empty_step(r.iteration);
    report_replay();
    parallel_.publish_step(r.was_skipped);
  }
  if (config_.logger.log_params_norm) r.params_norm = params_norm();
  state_.iteration += 1;
  state_.consumed_samples += config_.train.global_batch_size;
  state_.optimizer_updates = optimizer_.updates();
  if (r.was_skipped) state_.skipped_iterations += 1;
  else state_.scheduler_samples += config_.train.global_batch_size;
  r.consumed_samples = state_.consumed_samples;
  r.elapsed_ms = milliseconds_since(start);
  const double tokens = static_cast<double>(config_.train.global_batch_size * config_.model.seq_length);
  const double flops = tokens * flops_per_token(config_.model);
  state_.flops += flops;
  r.tokens_per_second = tokens / (r.elapsed_ms * 1e-3);
  r.tflops = flops / (r.elapsed_ms * 1e-3) * 1e-12;
  return r;
}

bool Trainer::is_skipped_by_user(int64_t iteration) const {
  const std::vector<int64_t>& skip = config_.train.iterations_to_skip;
  return std::find(skip.begin(), skip.end(), iteration) != skip.end();
}

void Trainer::handle_non_finite(const IterationRecord& r, bool gradients_are_finite) {
  const std::vector<std::string> activations = gather_texts(world_, transformer_.first_non_finite_activation());
  const auto at = std::find_if(activations.begin(), activations.end(), [](const std::string& a) { return !a.empty(); });
  // Weights are the same on all ranks, and gradients hold all ranks' sums: only an activation tells where it began.
  std::string where = non_finite_weight();
  if (where.empty() && at != activations.end())
    where = world_.ranks() > 1 ? fmt::format("{} on rank {}", *at, at - activations.begin()) : *at;
  if (where.empty()) where = first_said(gather_texts(world_, non_finite_gradient()));
  if (where.empty()) where = "the logits";
  throw AgreedError(fmt::format("{} of iteration {} is not finite (loss {}, consumed samples {}); first found in {}. The weights are those "
                                "of iteration {}. Lower optimizer.lr, or set train.nan_policy=skip to leave such batches out",
                                gradients_are_finite ? "the loss" : "the gradient norm", r.iteration, r.loss, state_.consumed_samples,
                                where, state_.iteration),
                    1);
}

/// The first weight with a NaN or an infinity, on any rank; empty: there is none.
std::string Trainer::non_finite_weight() {
  std::string found;
  for (int64_t i = 0; i < weights_.num_params() && found.empty(); ++i)
    if (has_non_finite(weights_.get(weights_.master(), i))) found = fmt::format("the weight {}", weights_.spec(i).name);
  return first_said(gather_texts(world_, found));
}

/// The same of this rank's gradients, in the order of backward.
std::string Trainer::non_finite_gradient() {
  for (int64_t i = weights_.num_params() - 1; i >= 0; --i)
    if (has_non_finite(weights_.get(weights_.grad(), i))) return fmt::format("the gradient of {}", weights_.spec(i).name);
  return "";
}

double Trainer::params_norm() {
  const Buffer memory(backend_, 2 * sizeof(double));
  const TensorView squared(memory.data(), DType::f64, {1}), non_finite(static_cast<double*>(memory.data()) + 1, DType::i32, {1});
  backend_.grad_norm({.grad = weights_.master(), .squared_norm = squared, .non_finite = non_finite});
  if (weights_.master().size() < weights_.params().flat_size) parallel_.add_up(squared, {}, {});  // each rank has its pieces
  double sum = 0.0;
  backend_.download(squared, &sum);
  return std::sqrt(sum);
}

int64_t Trainer::count_zero_gradients() {
  int64_t zeros = 0;
  for (int64_t i = 0; i < weights_.num_params(); ++i) {
    const TensorView reduced = weights_.held_part(weights_.grad(), i);
    if (reduced.empty()) continue;
    std::vector<float> values(static_cast<size_t>(reduced.size()));
    backend_.download(reduced, values.data());
    zeros += std::count(values.begin(), values.end(), 0.0f);
  }
  return weights_.sharding().is_sharded() ? static_cast<int64_t>(sum_over_ranks(world_, static_cast<double>(zeros))) : zeros;
}

std::optional<EvaluationRecord> Trainer::evaluate(Split split, int64_t max_batches) {
  const int64_t micro_batch = config_.train.micro_batch_size, available = dataset_.num_samples(split);
  const int64_t wanted = max_batches * config_.train.global_batch_size;
  const int64_t samples = config_.validation.full_validation ? available : std::min(available, wanted);
  if (samples == 0) return std::nullopt;
  // From sample 0 every time: the losses of different iterations compare.
  const int64_t ranks = world_.ranks();
  BatchPrefetcher batches({dataset_, split, micro_batch, data_seed(config_.dataset, config_.rng.seed)}, ranks * micro_batch);
  parallel_.finish_publishing();
  transformer_.reset_loss_sum();
  double tokens = 0.0, loss_sum = 0.0;
  for (int64_t first = world_.rank() * micro_batch; first < samples; first += ranks * micro_batch) {
    Batch batch = batches.get(first);
    leave_out_after(batch, samples - first);
    tokens += tokens_in_loss(batch);
    transformer_.forward({.is_training = false, .seed = seed_of(config_)}, view_of(batch));
  }
  parallel_.add_up({}, {}, transformer_.loss_sum());
  backend_.download(transformer_.loss_sum(), &loss_sum);
  tokens = sum_over_ranks(world_, tokens);
  EvaluationRecord r;
  r.iteration = state_.iteration;
  r.split = name_of_evaluated(split);
  r.loss = mean_loss(loss_sum, tokens);
  r.tokens = static_cast<int64_t>(tokens);
  if (tokens == 0.0 && world_.is_first())
    observer_.on_warning(fmt::format("no token of the {} samples of the {} split that were evaluated is in the loss: it has none (nan). {}",
                                     samples, r.split, kWhyNoTokens));
  return r;
}

/// An evaluation alone needs a split with samples; the end of a run says which ones have none.
void Trainer::require_samples_to_evaluate() const {
  const std::string nothing = nothing_to_evaluate(config_, dataset_);
  if (!nothing.empty()) throw AgreedError(nothing, 2);
}

void Trainer::report_empty_split(Split split) {
  if (!reported_empty_.insert(split).second || !world_.is_first()) return;
  observer_.on_message(fmt::format("the {} split has no sample: nothing to evaluate there (dataset.split)", name_of_evaluated(split)));
}

/// Whether a loss was measured.
bool Trainer::evaluate_and_report(bool is_final) {
  bool is_measured = false;
  if (config_.validation.eval_iters == 0 && !config_.validation.full_validation) return is_measured;
  for (const Split split : {Split::valid, Split::test}) {
    if (split == Split::test && !is_final) continue;
    std::optional<EvaluationRecord> r = evaluate(split, config_.validation.eval_iters);
    if (!r) {
      report_empty_split(split);
      continue;
    }
    r->is_final = is_final;
    observer_.on_evaluation(*r);
    is_measured = is_measured || r->tokens > 0;
  }
  return is_measured;
}

void Trainer::save() {
  if (config_.checkpoint.save.empty() || last_saved_ == state_.iteration) return;
  finish_save();
  const std::string path = saver_.path_of(state_.iteration);
  observer_.on_checkpoint(SaveStage::started, path, state_.iteration);
  parallel_.reduce_staged_amaxes();  // a rank has staged those of the weights that it holds: the file has all
  saver_.start(state_, scaler_);
  last_saved_ = state_.iteration;
  if (config_.checkpoint.async_save) observer_.on_checkpoint(SaveStage::scheduled, path, state_.iteration);
  else finish_save();
}

/// Completes the save that is under way, if one is.
void Trainer::finish_save() {
  if (!saver_.is_pending()) return;
  const CheckpointSaver::Saved saved = saver_.finish();
  observer_.on_checkpoint(SaveStage::saved, saved.path, saved.iteration);
}

/// Before an error leaves the run that every rank knows of: what was saved before it need not be lost.
void Trainer::settle_save() noexcept {
  try {
    finish_save();
  } catch (const std::exception& e) {
    observer_.on_warning(fmt::format("the checkpoint of iteration {} was not saved: {}", last_saved_, e.what()));
  }
}

/// The same on every rank: signals, clocks and disks differ between them. Completes a save whose files are all written.
std::optional<ExitReason> Trainer::exit_reason() {
  const TrainConfig& t = config_.train;
  struct Wishes {
    bool stop, is_late, has_written;
  };
  const bool is_late = t.exit_duration_in_mins && milliseconds_since(start_) > *t.exit_duration_in_mins * 60e3;
  const bool is_asked = stop_requested_ || (stop_flag_ != nullptr && *stop_flag_);
  const Wishes mine{is_asked, is_late, saver_.has_written()};
  const std::vector<Wishes> all = gather_values(world_, mine);
  if (std::all_of(all.begin(), all.end(), [](const Wishes& w) { return w.has_written; })) finish_save();
  if (std::any_of(all.begin(), all.end(), [](const Wishes& w) { return w.stop; })) return ExitReason::signal;
  if (std::any_of(all.begin(), all.end(), [](const Wishes& w) { return w.is_late; })) return ExitReason::duration;
  if (t.exit_interval && state_.iteration % *t.exit_interval == 0) return ExitReason::interval;
  return std::nullopt;
}

ExitReason Trainer::train_loop() {
  const int64_t iterations = config_.train.iterations();
  const ValidationConfig& v = config_.validation;
  require_samples_to_evaluate();
  while (!v.skip_train && state_.iteration < iterations) {
    observer_.on_iteration(step());
    const int64_t i = state_.iteration;
    check_skipped_steps(false);
    if (const auto& interval = config_.train.check_weight_hash_across_dp_replicas_interval; interval && i % *interval == 0) {
      parallel_.finish_publishing();
      check_replicas(backend_, world_, weights_);
    }
    if (v.eval_interval && i % *v.eval_interval == 0 && i >= v.start_eval_at_iter.value_or(0) && i < iterations) evaluate_and_report(false);
    const auto& interval = config_.checkpoint.save_interval;
    if (interval && i % *interval == 0) save();
    if (i == iterations) break;
    if (const std::optional<ExitReason> reason = exit_reason()) {
      check_skipped_steps(reason == ExitReason::interval);
      report_empty_steps();
      save();
      finish_save();
      return *reason;
    }
  }
  check_skipped_steps(true);
  report_empty_steps();
  if (!v.skip_train) save();
  const bool is_measured = evaluate_and_report(true);
  finish_save();
  if (v.skip_train && !is_measured)
    throw AgreedError("validation.skip_train is true, but no token is in the loss of what was evaluated: there is no result", 2);
  return ExitReason::finished;
}

ExitReason Trainer::run() try { return train_loop(); } catch (const AgreedError&) {
  settle_save();
  throw;
} catch (const OutOfMemory& e) {
  if (world_.ranks() == 1) settle_save();
  throw OutOfMemory(fmt::format("{}\n{}", e.what(), memory_.owners));
} catch (...) {
  if (world_.ranks() == 1) settle_save();  // of several, the others may not come to complete it
  throw;
}

}  // namespace mbt

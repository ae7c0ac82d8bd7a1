// The training loop: batches, micro-batches, optimizer steps, evaluation, checkpoints, exits. It prints nothing: what happens goes to a
// TrainObserver.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/config/run_config.h"
#include "core/data/prefetcher.h"
#include "core/model/transformer.h"
#include "core/model/weights.h"
#include "core/optim/lr_schedule.h"
#include "core/optim/optimizer.h"
#include "core/parallel/data_parallel.h"
#include "core/train/checkpoint/checkpoint.h"
#include "core/train/checkpoint/checkpoint_saver.h"
#include "core/train/plan/memory_check.h"
#include "core/train/records.h"
#include "core/train/skipped_steps.h"
#include "core/train/train_observer.h"

namespace mbt {

/// Why run() returned.
enum class ExitReason : uint8_t { finished, signal, duration, interval };

class Trainer {
 public:
  /// Everything is allocated and loaded here, after a look at whether it fits (memory_check.h); InputError and Error before the first
  /// step. config: resolved, synchronized, validated for as many ranks as `world` has; every rank makes and runs its trainer alike.
  /// The backend, the world, the dataset and the observer must outlive it.
  Trainer(Backend& backend, World& world, const RunConfig& config, const PrecisionPolicy& policy, const Dataset& dataset,
          TrainObserver& observer);

  /// Trains to the end or until told to stop, evaluates and saves as configured.
  ExitReason run();
  /// Makes run() finish its step, save and return. A request on one rank stops all ranks.
  void request_stop() { stop_requested_ = true; }
  /// The same once `flag` is set, by a signal handler for example; it must outlive run().
  void stop_when(const std::atomic<bool>& flag) { stop_flag_ = &flag; }

  const TrainState& state() const { return state_; }
  int64_t num_params() const { return weights_.params().num_params; }
  /// What carries tensors between ranks; empty with one.
  std::string transport() const { return parallel_.transport(); }
  /// Mean loss of a split over at most `max_batches` global batches; nullopt when the split has no sample. NaN, with a warning, when no
  /// token of them is in the loss.
  std::optional<EvaluationRecord> evaluate(Split split, int64_t max_batches);

 private:
  IterationRecord step();
  double accumulate_gradients();
  double grad_factor(double tokens) const;
  void report_replay();
  void handle_non_finite(const IterationRecord& record, bool gradients_are_finite);
  std::string non_finite_weight();
  std::string non_finite_gradient();
  double params_norm();
  int64_t count_zero_gradients();
  void report_empty_step(int64_t iteration);
  void report_empty_steps() const;
  void check_skipped_steps(bool is_end) const;
  void require_samples_to_evaluate() const;
  bool evaluate_and_report(bool is_final);
  void report_empty_split(Split split);
  ExitReason train_loop();
  void save();
  void finish_save();
  void settle_save() noexcept;
  std::optional<ExitReason> exit_reason();
  bool is_skipped_by_user(int64_t iteration) const;

  Backend& backend_;
  World& world_;
  RunConfig config_;
  PrecisionPolicy policy_;
  const Dataset& dataset_;
  TrainObserver& observer_;
  MemoryCheck memory_;  // before what it is about
  Weights weights_;
  Transformer transformer_;
  DataParallel parallel_;
  Optimizer optimizer_;
  LossScaler scaler_;
  LrSchedule schedule_;
  std::optional<BatchPrefetcher> batches_;
  TrainState state_;
  CheckpointSaver saver_;
  int64_t last_saved_ = -1;
  bool replay_is_reported_ = false;
  SkippedSteps skipped_steps_;
  int64_t empty_steps_ = 0;         // steps without a token in the loss
  std::set<Split> reported_empty_;  // splits without a sample
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool stop_requested_ = false;
  const std::atomic<bool>* stop_flag_ = nullptr;
};

}  // namespace mbt

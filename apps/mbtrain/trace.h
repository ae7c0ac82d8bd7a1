// profiling.trace_path: a timeline of the ops of some iterations, as Chrome's trace viewer and Perfetto read it.
#pragma once

#include <string>

#include "core/backend/timing_backend.h"
#include "core/config/profiling_config.h"
#include "core/train/trainer.h"

namespace mbt {

/// Hands everything on to `next`, and switches `timing` on for iterations [profile_step_start, profile_step_end); writes the file after
/// the last of them.
class TracingObserver final : public TrainObserver {
 public:
  /// InputError when trace_path is given and cannot be written.
  TracingObserver(const ProfilingConfig& config, TimingBackend& timing, TrainObserver& next);

  void on_message(const std::string& text) override { next_.on_message(text); }
  void on_warning(const std::string& text) override { next_.on_warning(text); }
  void on_iteration(const IterationRecord& record) override;
  void on_evaluation(const EvaluationRecord& record) override { next_.on_evaluation(record); }
  void on_checkpoint(SaveStage stage, const std::string& path, int64_t iteration) override { next_.on_checkpoint(stage, path, iteration); }

 private:
  void require_writable() const;
  void write() const;

  ProfilingConfig config_;
  TimingBackend& timing_;
  TrainObserver& next_;
};

}  // namespace mbt

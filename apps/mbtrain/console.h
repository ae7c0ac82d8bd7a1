// What a training run shows: log lines on stdout (short on a terminal, else Megatron's), a progress line on a terminal's stderr, metrics as
// JSON lines.
#pragma once

#include <fstream>
#include <functional>
#include <string>

#include "apps/mbtrain/progress_line.h"
#include "core/config/run_config.h"
#include "core/train/trainer.h"

namespace mbt {

class ConsoleObserver : public TrainObserver {
 public:
  explicit ConsoleObserver(const RunConfig& config);
  ~ConsoleObserver() override;
  /// Opens the metrics file. Call it after everything else of the run is ready, so that a rejected run leaves no file. Appends when the run
  /// continues another one, and always in the run's own folder: the records of a run that ended before its first checkpoint are all that is
  /// left of it. Throws InputError when the file cannot be opened.
  void open_metrics();

  void on_message(const std::string& text) override;
  void on_warning(const std::string& text) override;
  void on_iteration(const IterationRecord& record) override;
  void on_evaluation(const EvaluationRecord& record) override;
  void on_checkpoint(SaveStage stage, const std::string& path, int64_t iteration) override;
  /// On stdout and in console.log.
  void print_line(const std::string& line);
  /// Clears the progress line.
  void finish();
  /// Sets a function that is called once, when metrics can no longer be written (a full disk in the middle of a run).
  void set_on_failure(std::function<void()> on_failure) { on_failure_ = std::move(on_failure); }
  /// What went wrong with the metrics; empty: nothing.
  const std::string& failure() const { return failure_; }

 private:
  void show_progress(const IterationRecord& record);
  void write_metrics(const std::string& line);

  LoggerConfig logger_;
  int64_t seq_length_;
  bool is_short_;      // the log line
  bool is_continued_;  // checkpoint.load is given
  ProgressLine progress_;
  double smoothed_ms_ = 0.0;
  IntervalAverage interval_;
  std::ofstream metrics_;
  std::string metrics_path_;
  std::function<void()> on_failure_ = [] {};
  std::string failure_;
};

}  // namespace mbt

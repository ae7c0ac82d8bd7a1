#include "apps/mbtrain/console.h"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/console_log.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/terminal.h"
#include "apps/mbtrain/text_table.h"
#include "core/base/json_text.h"

namespace mbt {
namespace {

std::string metrics_path(const RunConfig& c) {
  if (!c.logger.jsonl_path.empty()) return c.logger.jsonl_path;
  return c.checkpoint.save.empty() ? std::string() : (std::filesystem::path(c.checkpoint.save) / "metrics.jsonl").string();
}

ProgressLine::Where progress_place(const LoggerConfig& logger) {
  if (logger.progress == ProgressChoice::automatic) return ProgressLine::Where::terminal;
  return logger.progress == ProgressChoice::on ? ProgressLine::Where::always : ProgressLine::Where::nowhere;
}

bool is_short(LogFormat format) { return format == LogFormat::automatic ? is_terminal(STDOUT_FILENO) : format == LogFormat::short_line; }

}  // namespace

ConsoleObserver::ConsoleObserver(const RunConfig& config)
    : logger_(config.logger),
      seq_length_(config.model.seq_length),
      is_short_(is_short(config.logger.log_format)),
      is_continued_(!config.checkpoint.load.empty()),
      progress_(progress_place(config.logger)),
      metrics_path_(metrics_path(config)) {}

void ConsoleObserver::open_metrics() {
  if (metrics_path_.empty()) return;
  const bool is_in_run_folder = logger_.jsonl_path.empty(), appends = is_continued_ || is_in_run_folder;
  std::error_code none;
  const uintmax_t bytes = std::filesystem::file_size(metrics_path_, none);
  if (is_in_run_folder && !is_continued_ && !none && bytes > 0)
    on_warning(
        fmt::format("{} has records of an earlier run that left no checkpoint: this run's are appended, and the last record of an "
                    "iteration counts. Remove the file to begin it anew",
                    metrics_path_));
  metrics_.open(metrics_path_, appends ? std::ios::app : std::ios::trunc);
  if (!metrics_) throw InputError(fmt::format("logger.jsonl_path: cannot write {}", metrics_path_));
}

ConsoleObserver::~ConsoleObserver() { finish(); }

void ConsoleObserver::finish() { progress_.clear(); }

void ConsoleObserver::print_line(const std::string& line) {
  progress_.clear();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
  ConsoleLog::add(line + "\n");
  if (const std::string problem = ConsoleLog::take_problem(); !problem.empty()) on_warning(problem);
}

void ConsoleObserver::write_metrics(const std::string& line) {
  if (metrics_path_.empty() || !failure_.empty()) return;
  metrics_ << line << '\n' << std::flush;
  if (metrics_) return;
  failure_ = fmt::format("logger.jsonl_path: cannot write {}: {}", metrics_path_, std::strerror(errno));
  on_failure_();
}

void ConsoleObserver::on_message(const std::string& message) {
  progress_.clear();
  log_info(message);
}

void ConsoleObserver::on_warning(const std::string& message) {
  progress_.clear();
  log_warning(message);
}

void ConsoleObserver::on_iteration(const IterationRecord& r) {
  interval_.add(r);
  write_metrics(json_text(to_json(r)));
  if (r.iteration == 1 || r.iteration % logger_.log_interval == 0 || r.iteration == r.train_iters)
    print_line(is_short_ ? interval_.take_short_line(logger_.log_throughput) : interval_.take_line(logger_.log_throughput));
  show_progress(r);
}

void ConsoleObserver::show_progress(const IterationRecord& r) {
  smoothed_ms_ = smoothed_ms_ == 0.0 ? r.elapsed_ms : 0.9 * smoothed_ms_ + 0.1 * r.elapsed_ms;
  if (!progress_.is_due()) return;
  const double share = static_cast<double>(r.iteration) / static_cast<double>(r.train_iters);
  const double rate = static_cast<double>(r.global_batch_size * seq_length_) / (smoothed_ms_ * 1e-3);
  progress_.show(fmt::format(" {} {}/{}{}{}{}", progress_bar(share), r.iteration, r.train_iters, formatted("  loss %.4f", r.loss),
                             formatted("  %.0f tok/s  ", rate),
                             time_left(static_cast<double>(r.train_iters - r.iteration) * smoothed_ms_ * 1e-3)));
}

void ConsoleObserver::on_evaluation(const EvaluationRecord& r) {
  write_metrics(json_text(to_json(r)));
  print_line(r.lines());
}

void ConsoleObserver::on_checkpoint(SaveStage stage, const std::string& path, int64_t iteration) {
  const char* const what = stage == SaveStage::started     ? "saving checkpoint at iteration"
                           : stage == SaveStage::scheduled ? "  scheduled an async checkpoint save at iteration"
                                                           : "  successfully saved checkpoint from iteration";
  char line[80];
  std::snprintf(line, sizeof line, "%s %7lld to ", what, static_cast<long long>(iteration));
  print_line(line + path);
}

}  // namespace mbt

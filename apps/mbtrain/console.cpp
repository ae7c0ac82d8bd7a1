#include "apps/mbtrain/console.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace mbt {
namespace {

constexpr auto kProgressEvery = std::chrono::milliseconds(100);
constexpr int kBarWidth = 24;

std::string metrics_path(const RunConfig& c) {
  if (!c.logger.jsonl_path.empty()) return c.logger.jsonl_path;
  return c.checkpoint.save.empty() ? std::string() : (std::filesystem::path(c.checkpoint.save) / "metrics.jsonl").string();
}

std::string bar(double share) {
  std::string s = "[";
  const int full = static_cast<int>(share * kBarWidth);
  for (int i = 0; i < kBarWidth; ++i) s += i < full ? '=' : i == full ? '>' : ' ';
  return s + "]";
}

std::string duration(double seconds) {
  char s[32];
  const auto total = static_cast<long>(seconds);
  if (total >= 3600) std::snprintf(s, sizeof s, "%ldh%02ldm", total / 3600, total / 60 % 60);
  else std::snprintf(s, sizeof s, "%ldm%02lds", total / 60, total % 60);
  return s;
}

}  // namespace

ConsoleObserver::ConsoleObserver(const RunConfig& config)
    : logger_(config.logger),
      seq_length_(config.model.seq_length),
      shows_progress_(config.logger.progress == ProgressChoice::on ||
                      (config.logger.progress == ProgressChoice::automatic && isatty(STDERR_FILENO))),
      metrics_path_(metrics_path(config)) {}

void ConsoleObserver::open_metrics(bool appends) {
  if (metrics_path_.empty()) return;
  metrics_.open(metrics_path_, appends ? std::ios::app : std::ios::trunc);
  if (!metrics_) throw InputError(text("logger.jsonl_path: cannot write ", metrics_path_));
}

ConsoleObserver::~ConsoleObserver() { finish(); }

void ConsoleObserver::finish() { clear_progress(); }

void ConsoleObserver::print_line(const std::string& line) {
  clear_progress();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void ConsoleObserver::write_metrics(const std::string& line) {
  if (metrics_path_.empty() || !failure_.empty()) return;
  metrics_ << line << '\n' << std::flush;
  if (metrics_) return;
  failure_ = text("logger.jsonl_path: cannot write ", metrics_path_, ": ", std::strerror(errno));
  on_failure_();
}

void ConsoleObserver::on_message(const std::string& message) {
  clear_progress();
  spdlog::info(message);
}

void ConsoleObserver::on_warning(const std::string& message) {
  clear_progress();
  spdlog::warn(message);
}

void ConsoleObserver::on_iteration(const IterationRecord& r) {
  interval_.add(r);
  write_metrics(to_json(r).dump());
  if (r.iteration == 1 || r.iteration % logger_.log_interval == 0 || r.iteration == r.train_iters)
    print_line(interval_.take_line(logger_.log_throughput));
  show_progress(r);
}

void ConsoleObserver::show_progress(const IterationRecord& r) {
  smoothed_ms_ = smoothed_ms_ == 0.0 ? r.elapsed_ms : 0.9 * smoothed_ms_ + 0.1 * r.elapsed_ms;
  const auto now = std::chrono::steady_clock::now();
  if (!shows_progress_ || now - last_progress_ < kProgressEvery) return;
  last_progress_ = now;
  const double left = static_cast<double>(r.train_iters - r.iteration) * smoothed_ms_ * 1e-3;
  const double share = static_cast<double>(r.iteration) / static_cast<double>(r.train_iters);
  std::fprintf(stderr, "\r\033[K %s %lld/%lld  loss %.4f  %.0f tok/s  %s left", bar(share).c_str(), static_cast<long long>(r.iteration),
               static_cast<long long>(r.train_iters), r.loss,
               static_cast<double>(r.global_batch_size * seq_length_) / (smoothed_ms_ * 1e-3), duration(left).c_str());
  std::fflush(stderr);
  progress_is_visible_ = true;
}

void ConsoleObserver::clear_progress() {
  if (!progress_is_visible_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  progress_is_visible_ = false;
}

void ConsoleObserver::on_evaluation(const EvaluationRecord& r) {
  write_metrics(to_json(r).dump());
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

#include "apps/mbtrain/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "apps/mbtrain/console_log.h"
#include "apps/mbtrain/terminal.h"

namespace mbt {
namespace {

class ConsoleLogSink final : public spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    ConsoleLog::add({line.data(), line.size()});
  }
  void flush_() override {}
};

}  // namespace

void open_log() {
  const auto mode = takes_color(STDERR_FILENO) ? spdlog::color_mode::always : spdlog::color_mode::never;
  const auto screen = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(mode);
  const std::initializer_list<spdlog::sink_ptr> sinks = {screen, std::make_shared<ConsoleLogSink>()};
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("mbtrain", sinks));
  spdlog::set_pattern("[%H:%M:%S] %^%l%$: %v");
}

void set_log_level(const std::string& level) { spdlog::set_level(spdlog::level::from_str(level)); }

void log_debug(const std::string& text) { spdlog::debug(text); }
void log_info(const std::string& text) { spdlog::info(text); }
void log_warning(const std::string& text) { spdlog::warn(text); }

}  // namespace mbt

#include "apps/mbtrain/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace mbt {

void open_log() {
  spdlog::set_default_logger(spdlog::stderr_color_mt("mbtrain"));
  spdlog::set_pattern("[%H:%M:%S] %^%l%$: %v");
}

void set_log_level(const std::string& level) { spdlog::set_level(spdlog::level::from_str(level)); }

void log_debug(const std::string& text) { spdlog::debug(text); }
void log_info(const std::string& text) { spdlog::info(text); }
void log_warning(const std::string& text) { spdlog::warn(text); }

}  // namespace mbt

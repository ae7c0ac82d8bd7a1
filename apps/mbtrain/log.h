// The log on stderr: lines with the time and a level, and a copy in console.log (console_log.h). Only log.cpp includes spdlog. Rank 0 logs;
// the other ranks show errors only (ranks.cpp).
#pragma once

#include <string>

namespace mbt {

void open_log();  ///< once, before anything is logged
/// "debug", "info", "warn", "error"; lines below it are dropped.
void set_log_level(const std::string& level);

void log_debug(const std::string& text);
void log_info(const std::string& text);
void log_warning(const std::string& text);

}  // namespace mbt

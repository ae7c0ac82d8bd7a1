#include "apps/mbtrain/progress_line.h"

#include <unistd.h>

#include <cstdio>

namespace mbt {

ProgressLine::ProgressLine(bool is_quiet, int seconds_elsewhere)
    : is_terminal_(isatty(STDERR_FILENO) != 0),
      pause_(is_quiet       ? 0
             : is_terminal_ ? 200
                            : 1000 * seconds_elsewhere) {}

bool ProgressLine::is_due() {
  const auto now = Clock::now();
  if (pause_.count() == 0 || now - last_ < pause_) return false;
  last_ = now;
  return true;
}

void ProgressLine::show(const std::string& text) {
  is_visible_ = is_terminal_;
  std::fprintf(stderr, is_terminal_ ? "\r\033[K%s" : "%s\n", text.c_str());
  std::fflush(stderr);
}

void ProgressLine::clear() {
  if (is_visible_) std::fprintf(stderr, "\r\033[K");
  is_visible_ = false;
}

}  // namespace mbt

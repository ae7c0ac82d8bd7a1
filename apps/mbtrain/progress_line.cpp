#include "apps/mbtrain/progress_line.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "apps/mbtrain/terminal.h"

namespace mbt {
namespace {

constexpr int kBarWidth = 24;

}  // namespace

ProgressLine::ProgressLine(Where where, int seconds_elsewhere)
    : is_in_place_(where == Where::always || (where == Where::terminal && takes_overwriting(STDERR_FILENO))),
      pause_(is_in_place_               ? 200
             : where == Where::terminal ? 1000 * seconds_elsewhere
                                        : 0) {}

bool ProgressLine::is_due() {
  const auto now = Clock::now();
  if (pause_.count() == 0 || now - last_ < pause_) return false;
  last_ = now;
  return true;
}

void ProgressLine::show(const std::string& text) {
  is_visible_ = is_in_place_;
  std::fprintf(stderr, is_in_place_ ? "\r\033[K%s" : "%s\n", text.c_str());
  std::fflush(stderr);
}

void ProgressLine::clear() {
  if (is_visible_) std::fprintf(stderr, "\r\033[K");
  is_visible_ = false;
}

std::string progress_bar(double share) {
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * kBarWidth);
  std::string s = "[";
  for (int i = 0; i < kBarWidth; ++i) s += i < full ? '=' : i == full ? '>' : ' ';
  return s + "]";
}

std::string time_left(double seconds) {
  char s[40];
  const auto total = static_cast<long>(seconds);
  if (total >= 3600) std::snprintf(s, sizeof s, "%ldh%02ldm left", total / 3600, total / 60 % 60);
  else std::snprintf(s, sizeof s, "%ldm%02lds left", total / 60, total % 60);
  return s;
}

}  // namespace mbt

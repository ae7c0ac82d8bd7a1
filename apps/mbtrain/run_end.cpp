#include "apps/mbtrain/run_end.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "apps/mbtrain/stop_signals.h"
#include "core/base/error.h"

namespace mbt {
namespace {

constexpr std::array kEndingSignals{SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGTERM, SIGXCPU};

/// What the handler needs. Complete before the handlers are set, and not changed while they are.
struct SignalEndState {
  std::string path, temporary;
  TextWithHole text;
  ino_t inode = 0;
  std::array<struct sigaction, kEndingSignals.size()> before{};
  std::atomic_flag is_written = ATOMIC_FLAG_INIT;
};
SignalEndState signal_end;

void put(char*& at, int value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
  at += digits;
}

bool write_whole(int fd, const char* data, size_t count) {
  while (count > 0) {
    const ssize_t n = ::write(fd, data, count);
    if (n <= 0) return false;
    data += n, count -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

ino_t inode_of(const char* path) {
  struct stat info {};
  return ::stat(path, &info) == 0 ? info.st_ino : 0;
}

namespace {

/// Only what is safe in a signal handler: no memory is allocated, nothing is locked.
void write_signal_end(int signal) {
  const SignalEndState& s = signal_end;
  if (inode_of(s.path.c_str()) != s.inode) return;
  char end[160] = "\"ended\": \"";
  char* at = end + std::strlen(end);
  write_utc(::time(nullptr), at);
  at += std::strlen(at);
  std::strcpy(at, "\",\n  \"exit_code\": ");
  at += std::strlen(at);
  put(at, 128 + signal, 3);
  std::strcpy(at, ",\n  \"ended_by\": \"");
  std::strcat(at, name_of_signal(signal));
  std::strcat(at, "\"");
  const int fd = ::open(s.temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return;
  const bool is_whole = write_whole(fd, s.text.before.data(), s.text.before.size()) && write_whole(fd, end, std::strlen(end)) &&
                        write_whole(fd, s.text.after.data(), s.text.after.size()) && ::fsync(fd) == 0;
  ::close(fd);
  if (is_whole) ::rename(s.temporary.c_str(), s.path.c_str());
  else ::unlink(s.temporary.c_str());
}

void on_ending_signal(int signal) {
  if (!signal_end.is_written.test_and_set()) write_signal_end(signal);
  for (size_t i = 0; i < kEndingSignals.size(); ++i)
    if (kEndingSignals[i] == signal) ::sigaction(signal, &signal_end.before[i], nullptr);
  ::raise(signal);  // blocked until this returns; then it ends the program, as it would have
}

}  // namespace

void write_utc(std::time_t seconds, char* out) {
  const long long days = seconds / 86400;
  const int second = static_cast<int>(seconds % 86400);
  // The civil calendar from days since 1970, in years that begin in March; gmtime() may lock.
  const long long shifted = days + 719468, era = shifted / 146097;
  const int day_of_era = static_cast<int>(shifted % 146097);
  const int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int month_from_march = (5 * day_of_year + 2) / 153;
  const int day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  const int month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const int year = year_of_era + static_cast<int>(era) * 400 + (month <= 2 ? 1 : 0);
  char* at = out;
  put(at, year, 4), *at++ = '-', put(at, month, 2), *at++ = '-', put(at, day, 2), *at++ = 'T';
  put(at, second / 3600, 2), *at++ = ':', put(at, second / 60 % 60, 2), *at++ = ':', put(at, second % 60, 2);
  *at++ = 'Z', *at = '\0';
}

std::string utc_text(std::time_t seconds) {
  char text[32];
  write_utc(seconds, text);
  return text;
}

std::string end_members(const std::string& utc, int exit_code, const std::string& reason) {
  return fmt::format("\"ended\": \"{}\",\n  \"exit_code\": {},\n  \"ended_by\": {}", utc, exit_code, reason);
}

std::string no_end_members() { return "\"ended\": null,\n  \"exit_code\": null,\n  \"ended_by\": null"; }

SignalEnd::SignalEnd(const std::string& path, const TextWithHole& text) {
  SignalEndState& s = signal_end;
  s.path = path;
  s.temporary = fmt::format("{}.tmp.{}.00", path, ::getpid());  // a name that the next writer clears away (core/io/leftovers.h)
  s.text = text;
  s.inode = inode_of(path.c_str());
  s.is_written.clear();
  for (size_t i = 0; i < kEndingSignals.size(); ++i) {
    ::sigaction(kEndingSignals[i], nullptr, &s.before[i]);
    if (s.before[i].sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = on_ending_signal;
    ::sigaction(kEndingSignals[i], &action, nullptr);
  }
}

SignalEnd::~SignalEnd() {
  static_cast<void>(signal_end.is_written.test_and_set());  // for whoever restores the handlers as they were meanwhile
  for (size_t i = 0; i < kEndingSignals.size(); ++i) ::sigaction(kEndingSignals[i], &signal_end.before[i], nullptr);
}

}  // namespace mbt

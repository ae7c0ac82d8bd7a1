#include "apps/mbtrain/console_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include "core/base/error.h"

namespace mbt {
namespace {

struct KeptLines {
  std::mutex mutex;
  bool is_active = false;
  int fd = -1;
  std::string path, pending;   // before open()
  bool breaks_a_line = false;  // the disk was full in the midst of one
  int64_t lost = 0;            // writes since the last that succeeded
  bool has_failed = false;
  std::string problem;
};

KeptLines& kept() {
  static KeptLines all;
  return all;
}

/// 0, or the system's reason. Whatever was written stays.
int write_all(KeptLines& k, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(k.fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : ENOSPC;
    text.remove_prefix(static_cast<size_t>(n));
    k.breaks_a_line = !text.empty();
  }
  return 0;
}

void write_lines(KeptLines& k, std::string_view lines) {
  std::string text = k.breaks_a_line ? "\n" : "";
  if (k.lost > 0) text += fmt::format("[{} lines could not be written here]\n", k.lost);
  text += lines;
  const int reason = write_all(k, text);
  if (reason == 0) {
    k.lost = 0;
    return;
  }
  ++k.lost;
  if (std::exchange(k.has_failed, true)) return;
  k.problem = fmt::format("cannot write {}: {}. The run goes on; what it prints is lost there until it can be written again", k.path,
                          std::strerror(reason));
}

}  // namespace

ConsoleLog::ConsoleLog() {
  const std::lock_guard lock(kept().mutex);
  kept().is_active = true;
}

ConsoleLog::~ConsoleLog() {
  KeptLines& k = kept();
  const std::lock_guard lock(k.mutex);
  if (k.fd >= 0) ::close(k.fd);
  k.is_active = k.has_failed = k.breaks_a_line = false;
  k.fd = -1, k.lost = 0;
  k.pending.clear(), k.problem.clear();
}

void ConsoleLog::open(const std::string& path, std::string_view title) {
  KeptLines& k = kept();
  const std::lock_guard lock(k.mutex);
  k.path = path;
  k.fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);  // O_NONBLOCK: a pipe must not stop the run
  if (k.fd < 0) throw InputError(fmt::format("checkpoint.save: cannot write {}: {}", path, std::strerror(errno)));
  write_lines(k, fmt::format("{}\n{}", title, std::exchange(k.pending, "")));
}

void ConsoleLog::add(std::string_view lines) noexcept try {
  KeptLines& k = kept();
  const std::lock_guard lock(k.mutex);
  if (!k.is_active) return;
  if (k.fd >= 0) write_lines(k, lines);
  else k.pending += lines;
} catch (...) {  // no memory for a line: it is lost
}

std::string ConsoleLog::take_problem() {
  const std::lock_guard lock(kept().mutex);
  return std::exchange(kept().problem, "");
}

}  // namespace mbt

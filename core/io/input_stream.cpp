#include "core/io/input_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace mbt {
namespace {

[[noreturn]] void fail(const std::string& path, const char* doing) {
  throw InputError(fmt::format("{}: cannot {}: {}", path == "-" ? "standard input" : path, doing, std::strerror(errno)));
}

}  // namespace

bool is_stream(const std::string& path) {
  struct stat info {};
  return path == "-" || (::stat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode));
}

InputStream::InputStream(const std::string& path, bool takes_streams, const std::atomic<bool>* stop) : path_(path), stop_(stop) {
  if (!takes_streams || !is_stream(path)) {
    file_.emplace(path);
    return;
  }
  fd_ = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail(path, "open it");
}

InputStream::~InputStream() {
  if (fd_ >= 0) ::close(fd_);
}

/// Unlike read(), poll() ends when a signal comes.
void InputStream::wait_for_bytes() const {
  pollfd poll_of{.fd = fd_, .events = POLLIN, .revents = 0};
  do {
    if (stop_ && *stop_) throw Error("interrupted by a signal");
  } while (::poll(&poll_of, 1, stop_ ? 200 : -1) <= 0 && (errno == EINTR || poll_of.revents == 0));
}

int64_t InputStream::read(char* out, int64_t count) {
  if (file_) {
    count = std::min(count, file_->size() - offset_);
    file_->read_at(offset_, out, count);
    offset_ += count;
    return count;
  }
  while (true) {
    wait_for_bytes();
    const ssize_t n = ::read(fd_, out, static_cast<size_t>(count));
    if (n >= 0) return n;
    if (errno != EINTR && errno != EAGAIN) fail(path_, "read it");
  }
}

}  // namespace mbt

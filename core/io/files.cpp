#include "core/io/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "core/io/leftovers.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const char* doing, int error) {
  throw InputError(fmt::format("{}: cannot {}: {}", path, doing, std::strerror(error)));
}

[[noreturn]] void fail_write(const std::string& path, int error) {
  throw WriteError(fmt::format("{}: cannot write it: {}", path, std::strerror(error)));
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return S_ISSOCK(mode) ? "a socket" : "no regular file";
}

}  // namespace

FileReader::FileReader(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // O_NONBLOCK: opening a FIFO must not wait for a writer
  if (fd_ < 0) fail(path, "open it", errno);
  struct stat info {};
  const bool known = ::fstat(fd_, &info) == 0;
  const int error = errno;
  if (known && S_ISREG(info.st_mode)) {
    size_ = info.st_size;
    return;
  }
  ::close(fd_);
  if (!known) fail(path, "examine it", error);
  throw InputError(fmt::format("{}: is {}, expected a file", path, kind_of(info.st_mode)));
}

FileReader::FileReader(FileReader&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

FileReader& FileReader::operator=(FileReader&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

FileReader::~FileReader() {
  if (fd_ >= 0) ::close(fd_);
}

void FileReader::read_at(int64_t offset, void* out, int64_t count) const {
  char* to = static_cast<char*>(out);
  while (count > 0) {
    const ssize_t n = ::pread(fd_, to, static_cast<size_t>(count), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path_, "read it", errno);
    if (n == 0) throw InputError(fmt::format("{}: ends at byte {}, expected {} more", path_, offset, count));
    to += n;
    offset += n;
    count -= n;
  }
}

FileDigest digest_of(const FileReader& file) {
  XxHash64 hash;
  std::vector<char> buffer(static_cast<size_t>(std::min<int64_t>(file.size(), 4 << 20)));
  for (int64_t at = 0; at < file.size();) {
    const int64_t count = std::min(file.size() - at, static_cast<int64_t>(buffer.size()));
    file.read_at(at, buffer.data(), count);
    hash.add(buffer.data(), static_cast<size_t>(count));
    at += count;
  }
  return {file.size(), hash.value()};
}

AtomicFile::AtomicFile(const std::string& path) {
  static std::atomic<int> counter{0};
  std::error_code ignored;
  const fs::path target = fs::weakly_canonical(path, ignored);  // through a link: the file it names is replaced, not the link
  path_ = target.empty() ? path : target.string();
  struct stat info {};
  if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    throw InputError(fmt::format("{}: is {}, cannot be replaced by a file", path, kind_of(info.st_mode)));
  }
  remove_leftovers(path_);
  do {
    if (fd_ >= 0) ::close(fd_);
    temporary_ = fmt::format("{}{}{}.{}", path_, kTemporaryInfix, ::getpid(), counter++);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0) fail(path, "write it", errno);
  } while (!claim_temporary(fd_));
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  if (fd_ >= 0) ::close(fd_);
}

void AtomicFile::write(const void* data, int64_t count) {
  if (count == 0) return;  // data may be null
  const char* from = static_cast<const char*>(data);
  hash_.add(data, static_cast<size_t>(count));
  bytes_ += count;
  while (count > 0) {
    const ssize_t n = ::write(fd_, from, static_cast<size_t>(count));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_write(path_, errno);
    from += n;
    count -= n;
  }
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) fail_write(path_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_write(path_, errno);  // before its lock is given up
  temporary_.clear();
  if (::close(std::exchange(fd_, -1)) != 0) fail_write(path_, errno);
  sync_folder(fs::path(path_).parent_path().string());
}

std::string read_text_file(const std::string& path, int64_t max_bytes) {
  const FileReader file(path);
  if (file.size() > max_bytes) throw InputError(fmt::format("{}: {} bytes, expected at most {}", path, file.size(), max_bytes));
  std::string content(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, content.data(), file.size());
  return content;
}

FileDigest write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
  return file.digest();
}

void sync_folder(const std::string& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

std::vector<std::string> list_files_recursive(const std::string& folder) {
  std::vector<std::string> files;
  std::set<std::pair<dev_t, ino_t>> visited;
  std::vector<std::string> pending{folder};
  while (!pending.empty()) {
    const std::string current = std::move(pending.back());
    pending.pop_back();
    struct stat info {};
    if (::stat(current.c_str(), &info) != 0) {
      if (current == folder) fail(current, "open it", errno);
      continue;  // a dangling link, or a file that has just gone
    }
    if (S_ISREG(info.st_mode)) files.push_back(current);
    if (!S_ISDIR(info.st_mode) || !visited.emplace(info.st_dev, info.st_ino).second) continue;
    std::error_code error;
    for (fs::directory_iterator it(current, error), end; !error && it != end; it.increment(error)) pending.push_back(it->path().string());
    if (error) fail(current, "list it", error.value());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace mbt

#include "core/io/leftovers.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

namespace mbt {
namespace {

namespace fs = std::filesystem;

/// "4711.0" of a file, 16 hexadecimal digits of a folder: a file that a user calls x.tmp.old is none.
bool is_writer_mark(std::string_view mark) {
  constexpr const char* kDigits = "0123456789";
  const size_t dot = mark.find('.');
  if (dot == mark.npos) return mark.size() == 16 && mark.find_first_not_of("0123456789abcdef") == mark.npos;
  return dot > 0 && dot + 1 < mark.size() && mark.find_first_not_of(kDigits) == dot &&
         mark.find_first_not_of(kDigits, dot + 1) == mark.npos;
}

/// The name of the target, empty when `name` is no temporary one.
std::string_view target_of(std::string_view name) {
  const size_t at = name.rfind(kTemporaryInfix);
  return at != name.npos && is_writer_mark(name.substr(at + std::strlen(kTemporaryInfix))) ? name.substr(0, at) : std::string_view();
}

/// While the lock is held no writer can claim it; so it goes before the lock does.
void remove_if_abandoned(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))) return;
  const int mode = S_ISDIR(info.st_mode) ? O_RDONLY | O_DIRECTORY : O_WRONLY;  // NFS locks what is open for writing
  const int fd = ::open(path.c_str(), mode | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  std::error_code ignored;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) fs::remove_all(path, ignored);
  ::close(fd);
}

void remove_leftovers(const fs::path& folder, std::string_view target) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder.empty() ? "." : folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const std::string_view of = target_of(name);
    if (!of.empty() && (target.empty() || of == target)) found.push_back(it->path());
  }
  for (const fs::path& path : found) remove_if_abandoned(path);
}

}  // namespace

bool claim_temporary(int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
  struct stat info {};
  return ::fstat(fd, &info) == 0 && info.st_nlink > 0;
}

void remove_leftovers(const std::string& target) {
  const fs::path path(target);
  if (path.has_filename()) remove_leftovers(path.parent_path(), path.filename().string());
}

void remove_leftovers_in(const std::string& folder) { remove_leftovers(folder, ""); }

}  // namespace mbt

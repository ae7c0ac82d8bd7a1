#include "core/io/atomic_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>

#include "core/base/error.h"
#include "core/base/xxhash.h"
#include "core/io/files.h"
#include "core/io/leftovers.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_existing(const std::string& target) {
  throw InputError(fmt::format("{}: exists already; give the name of a new folder, or remove it", target));
}

/// Without the slash at the end, which is part of a path.
std::string plain_path(const std::string& path) {
  if (path.empty()) throw InputError("the name of the new folder is empty");
  const fs::path absolute = fs::absolute(path).lexically_normal();
  return (absolute.has_filename() ? absolute : absolute.parent_path()).string();
}

/// Renames, unless something has the target's name; a rename alone would replace an empty folder.
int rename_to_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return errno;
  std::error_code unknown;  // a file system that cannot do both in one step
  if (fs::exists(fs::symlink_status(to, unknown))) return EEXIST;
  return std::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

AtomicFolder::AtomicFolder(const std::string& target) : target_(plain_path(target)) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(target_, error))) refuse_existing(target);
  const fs::path parent = fs::path(target_).parent_path();
  fs::create_directories(parent, error);
  if (error) throw InputError(fmt::format("{}: cannot create the folder: {}", parent.string(), error.message()));
  remove_leftovers(target_);
  create_temporary();
}

/// A program that clears up may take the new folder for abandoned before it is locked: then another.
void AtomicFolder::create_temporary() {
  std::random_device source;
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::error_code error;
    temporary_ = fmt::format("{}{}{}", target_, kTemporaryInfix, hash_text((uint64_t{source()} << 32) ^ source()));
    if (!fs::create_directory(temporary_, error) && error)
      throw InputError(fmt::format("{}: cannot create the folder: {}", temporary_, error.message()));
    fd_ = ::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd_ < 0 && errno != ENOENT) throw InputError(fmt::format("{}: cannot open the folder: {}", temporary_, std::strerror(errno)));
    if (fd_ >= 0 && claim_temporary(fd_)) return;
    if (fd_ >= 0) ::close(fd_);
  }
  throw InputError(fmt::format("{}: cannot create a folder beside it: another process keeps removing it", target_));
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!is_committed_) fs::remove_all(temporary_, ignored);
  ::close(fd_);
}

std::string AtomicFolder::file(const std::string& name) const { return (fs::path(temporary_) / name).string(); }

void AtomicFolder::commit() {
  sync_folder(temporary_);
  const int error = rename_to_new(temporary_, target_);
  if (error == EEXIST || error == ENOTEMPTY) refuse_existing(target_);
  if (error != 0) throw InputError(fmt::format("{}: cannot give the folder its name: {}", target_, std::strerror(error)));
  is_committed_ = true;
  sync_folder(fs::path(target_).parent_path().string());
}

}  // namespace mbt

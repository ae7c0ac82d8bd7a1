#include "core/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/io/files.h"

namespace mbt {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const FileReader reader(path);  // refuses what is no regular file
  fd_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat info {};
  if (fd_ < 0 || ::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    const int error = errno;
    if (fd_ >= 0) ::close(fd_);
    throw InputError(fmt::format("{}: cannot open it: {}", path, std::strerror(error)));
  }
  size_ = info.st_size;
  if (size_ == 0) return;
  void* const memory = ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_SHARED, fd_, 0);
  if (memory == MAP_FAILED) {
    const int error = errno;
    ::close(fd_);
    throw InputError(fmt::format("{}: cannot map its {} bytes: {}", path, size_, std::strerror(error)));
  }
  data_ = static_cast<const std::byte*>(memory);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(std::exchange(other.size_, 0)),
      data_(std::exchange(other.data_, nullptr)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  std::swap(data_, other.data_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
  if (fd_ >= 0) ::close(fd_);
}

void MappedFile::expect_random_reads() const {
  if (data_) ::madvise(const_cast<std::byte*>(data_), static_cast<size_t>(size_), MADV_RANDOM);  // advice: it may fail
}

void MappedFile::will_read(int64_t first, int64_t count) const {
  static const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t begin = first / page * page;
  if (data_ && first + count - begin > page)
    ::madvise(const_cast<std::byte*>(data_) + begin, static_cast<size_t>(first + count - begin), MADV_WILLNEED);
}

void MappedFile::check_still_whole() const {
  struct stat info {};
  if (fd_ < 0 || ::fstat(fd_, &info) != 0) throw InputError(fmt::format("{}: cannot examine it: {}", path_, std::strerror(errno)));
  if (info.st_size < size_) {
    throw InputError(fmt::format("{}: has shrunk from {} to {} bytes while it was in use; data must not change during a run", path_, size_,
                                 static_cast<int64_t>(info.st_size)));
  }
}

}  // namespace mbt

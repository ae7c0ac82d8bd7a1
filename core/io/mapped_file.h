// A file as memory: pages are read when they are touched, and the system drops them when memory is short.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mbt {

/// A regular file, mapped for reading. Thread safe.
class MappedFile {
 public:
  /// InputError as FileReader's, and when it cannot be mapped.
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::string& path() const { return path_; }
  /// Bytes when it was opened.
  int64_t size() const { return size_; }
  /// nullptr when it is empty.
  const std::byte* data() const { return data_; }
  /// Throws InputError when the file has shrunk since it was opened. Call it before reading: touching missing pages would kill the program.
  void check_still_whole() const;
  /// Tells the system to expect random reads: it then reads only the pages that are touched, not the megabytes around them.
  void expect_random_reads() const;
  /// Lets the system read the pages of bytes [first, first + count) at once instead of one after the other, as they are touched.
  void will_read(int64_t first, int64_t count) const;

 private:
  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
  const std::byte* data_ = nullptr;
};

}  // namespace mbt

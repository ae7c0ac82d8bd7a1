// Files for training jobs. They never block on something that is not a regular file, and are never half written. Errors are InputErrors
// with the path and the system's reason; errors while writing are WriteErrors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/xxhash.h"

namespace mbt {

/// A regular file open for reading. Directories, FIFOs and devices are refused without waiting for them.
class FileReader {
 public:
  explicit FileReader(const std::string& path);
  FileReader(FileReader&& other) noexcept;
  FileReader& operator=(FileReader&& other) noexcept;
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  ~FileReader();

  const std::string& path() const { return path_; }
  /// Bytes when it was opened.
  int64_t size() const { return size_; }
  /// Exactly `count` bytes from `offset` on; InputError when the file ends before (it may shrink while it is open). Thread safe.
  void read_at(int64_t offset, void* out, int64_t count) const;

 private:
  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

/// The size and hash by which a file is verified.
struct FileDigest {
  int64_t bytes = 0;
  uint64_t hash = 0;  ///< XXH64
  bool operator==(const FileDigest&) const = default;
};

/// Reads the whole file.
FileDigest digest_of(const FileReader& file);

/// A file that appears under its name only when it is complete: bytes go to a temporary name in the same folder; commit() flushes them to
/// the disk and renames. Without commit() the temporary file is removed and an existing file of that name stays as it was. What killed
/// writers of the same name have left is removed (leftovers.h). InputError: a place where no file can be made. WriteError: a full disk.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(const void* data, int64_t count);
  void write(std::string_view bytes) { write(bytes.data(), static_cast<int64_t>(bytes.size())); }
  void commit();
  /// Of what was written so far.
  FileDigest digest() const { return {bytes_, hash_.value()}; }

 private:
  std::string path_, temporary_;
  int fd_ = -1;
  int64_t bytes_ = 0;
  XxHash64 hash_;
};

/// The whole file; InputError when it is larger than `max_bytes`.
std::string read_text_file(const std::string& path, int64_t max_bytes = int64_t{256} << 20);

FileDigest write_file_atomically(const std::string& path, std::string_view content);

/// Makes what was created, renamed or removed in a folder durable. Some file systems cannot sync a folder; files are safe even then.
void sync_folder(const std::string& folder);

/// Regular files below `folder`, as paths that begin with `folder`, in byte order of the path: the same on every file system. Links to
/// files and folders are followed; a folder that was visited already (a loop of links) is not entered again.
std::vector<std::string> list_files_recursive(const std::string& folder);

}  // namespace mbt

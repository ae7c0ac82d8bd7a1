// Bytes from the first to the last: of a file, of standard input, of a pipe.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "core/io/files.h"

namespace mbt {

/// Whether `path` is no regular file: "-" for standard input, or a pipe such as the shell makes for <(zcat x.gz).
bool is_stream(const std::string& path);

class InputStream {
 public:
  /// takes_streams: also "-" and pipes, whose opening waits for a writer. stop: ends waiting for a pipe's bytes with an Error.
  /// InputError as FileReader's.
  InputStream(const std::string& path, bool takes_streams, const std::atomic<bool>* stop = nullptr);
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;
  ~InputStream();

  /// Of a file.
  std::optional<int64_t> size() const { return file_ ? std::optional(file_->size()) : std::nullopt; }
  /// Of a file: bytes that are not yet read.
  std::optional<int64_t> left() const { return file_ ? std::optional(file_->size() - offset_) : std::nullopt; }
  /// At most `count` bytes; 0: there are no more.
  int64_t read(char* out, int64_t count);

 private:
  void wait_for_bytes() const;

  std::string path_;
  std::optional<FileReader> file_;
  int64_t offset_ = 0;  ///< in the file
  int fd_ = -1;         ///< of a stream
  const std::atomic<bool>* stop_;
};

}  // namespace mbt

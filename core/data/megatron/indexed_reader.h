// Reads Megatron indexed data (indexed_format.h) through memory maps. Opening checks the whole index once.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "core/data/megatron/indexed_format.h"
#include "core/io/mapped_file.h"

namespace mbt {

/// Immutable and thread safe; memory is the file system's cache.
class IndexedReader {
 public:
  /// vocab_size: tokens from it on are refused when they are read.
  /// InputError names the file and the field: not such a file, another version, an unknown dtype or one that holds no tokens, counts that
  /// do not agree with the file's size, a sequence of negative length or outside .bin, document boundaries that do not ascend from 0 to the
  /// number of sequences, sequences of another modality than text.
  explicit IndexedReader(const std::string& prefix, int64_t vocab_size = int64_t{1} << 31);

  const IndexedPaths& paths() const { return paths_; }
  IndexedDtype dtype() const { return dtype_; }
  int64_t num_sequences() const { return sequences_; }
  int64_t num_documents() const { return boundaries_ - 1; }
  int64_t num_tokens() const { return tokens_; }
  int64_t longest_sequence() const { return longest_; }
  bool has_modes() const { return has_modes_; }
  /// Bytes of .bin, and how many of them no sequence reaches behind.
  int64_t bin_bytes() const { return bin_.size(); }
  int64_t bytes_behind_last_sequence() const { return bin_.size() - used_bytes_; }

  /// In tokens. 0 <= sequence < num_sequences().
  int64_t length(int64_t sequence) const { return get<int32_t>(lengths_, sequence); }
  /// Where it begins in .bin, in bytes.
  int64_t pointer(int64_t sequence) const { return get<int64_t>(pointers_, sequence); }
  /// The first sequence of the document; 0 <= document <= num_documents().
  int64_t document_begin(int64_t document) const { return get<int64_t>(documents_, document); }
  /// Tokens [offset, offset + count) of the sequence. InputError: a token below 0 or beyond the vocabulary; a file that has shrunk.
  void read(int64_t sequence, int64_t offset, int64_t count, int32_t* out) const;
  /// Changes when either file changes. It covers both sizes, the index and samples of the tokens.
  std::string fingerprint() const;

 private:
  template <class T>
  T get(const std::byte* array, int64_t i) const;
  void check_header();
  void check_sequences();
  void check_documents();
  void check_modes();
  template <class T>
  void copy(int64_t sequence, int64_t offset, int64_t count, int32_t* out) const;
  [[noreturn]] void refuse_token(int64_t sequence, int64_t position, int64_t token) const;

  IndexedPaths paths_;
  MappedFile idx_, bin_;
  int64_t vocab_size_;
  IndexedDtype dtype_ = IndexedDtype::uint16;
  int64_t sequences_ = 0, boundaries_ = 0, tokens_ = 0, longest_ = 0, used_bytes_ = 0;
  bool has_modes_ = false;
  const std::byte *lengths_ = nullptr, *pointers_ = nullptr, *documents_ = nullptr;  ///< unaligned arrays in idx_
};

}  // namespace mbt

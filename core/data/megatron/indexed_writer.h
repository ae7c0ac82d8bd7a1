// Writes Megatron indexed data (indexed_format.h), token by token as it comes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/data/megatron/indexed_format.h"
#include "core/io/files.h"

namespace mbt {

/// PREFIX.bin and PREFIX.idx appear at finish(), complete and on disk. Until then they have temporary names; without finish() they are
/// removed. Tokens stream to disk; memory holds four bytes per sequence and eight per document. Replaces an old pair of the same prefix.
class IndexedWriter {
 public:
  /// InputError: a dtype that holds no tokens (float32, float64), a folder that cannot be written.
  IndexedWriter(const std::string& prefix, IndexedDtype dtype);

  /// One document of one sequence, as Megatron's tools write them. InputError: a token that the dtype does not hold; a disk that is full.
  void add_document(std::span<const int32_t> tokens);
  /// A sequence of a document that goes on until end_document().
  void add_sequence(std::span<const int32_t> tokens);
  void end_document();
  /// The same, unless the document has no sequence.
  void end_document_if_any();
  /// Ends the document that is open, if any. The writer is used up.
  void finish();

  int64_t num_documents() const { return static_cast<int64_t>(documents_.size()) - 1; }
  int64_t num_sequences() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t num_tokens() const { return tokens_; }

 private:
  void flush();
  void write_index();

  IndexedPaths paths_;
  IndexedDtype dtype_;
  AtomicFile bin_, idx_;
  std::vector<char> buffer_;  ///< of .bin
  std::vector<int32_t> lengths_;
  std::vector<int64_t> documents_{0};  ///< boundaries
  int64_t tokens_ = 0;
};

}  // namespace mbt

// Files of tokens: with a header of 1024 bytes, as llm.c and llmq write them, or without one, as nanoGPT does.
//
//   nanoGPT uint16 tokens and nothing else: such a file must be named as what it is
//   llm.c   int32 words: magic 20240520, version 1, number of tokens; then uint16 tokens
//           magic 20240801, version 7: the same with uint32 tokens (Llama 3)
//   llmq    "BIN.TOK\n", then int32 words: version (1, 2), bytes a token (4), number of tokens, vocabulary, whether masks follow (both:
//   version 2);
//           int32 tokens, then a bit for each token, the lowest of a byte first: whether it counts in the loss as a target
#pragma once

#include <cstdint>
#include <string>

#include "core/io/mapped_file.h"

namespace mbt {

enum class TokenLayout : uint8_t {
  with_header,  ///< which says what it is
  nanogpt,
};

/// Immutable and thread safe.
class TokenFile {
 public:
  /// vocab_size: tokens from it on are refused when they are read.
  /// InputError: neither format, another version or width, a size that does not agree with the number of tokens, a larger vocabulary; for
  /// nanogpt, a file of another format, half a token at the end, or tokens that seem to have 32 bits.
  TokenFile(const std::string& path, int64_t vocab_size, TokenLayout layout = TokenLayout::with_header);
  /// Returns whether the first bytes are those of a file with a header; false also when it cannot be read.
  static bool recognizes(const std::string& path);

  const std::string& path() const { return file_.path(); }
  /// "llm.c uint16", "llm.c uint32", "llmq int32", "llmq int32 with masks", "nanoGPT uint16".
  const std::string& format() const { return format_; }
  int64_t num_tokens() const { return tokens_; }
  /// As the header says; 0: it does not.
  int64_t header_vocab_size() const { return header_vocab_; }
  bool has_masks() const { return has_masks_; }
  /// Tokens [first, first + count). InputError: a token below 0 or beyond the vocabulary; a file that has shrunk.
  void read(int64_t first, int64_t count, int32_t* out) const;
  /// Whether the token counts in the loss as a target.
  bool is_in_loss(int64_t token) const;
  /// Of the size and of samples of the content.
  std::string fingerprint() const;

 private:
  void read_header();
  void check_nanogpt() const;
  void check_size();
  template <class T>
  void copy(int64_t first, int64_t count, int32_t* out) const;

  MappedFile file_;
  int64_t vocab_size_, tokens_ = 0, header_vocab_ = 0, header_bytes_ = 1024, width_ = 0;
  bool has_masks_ = false, is_signed_ = false;
  std::string format_;
};

}  // namespace mbt

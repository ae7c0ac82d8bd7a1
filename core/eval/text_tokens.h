// Between texts and tokens, where a model is used and not trained.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// What the tokenizer puts before a text when asked for special tokens (a bos, or nothing); what it puts behind one would end it.
std::vector<int32_t> leading_tokens(const Tokenizer& tokenizer);

/// Text of tokens that come one by one: a token may be a part of a character, and with SentencePiece its text depends on what is before it.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// The text that this token completes; characters that are still incomplete wait for the next, what is none becomes U+FFFD.
  std::string add(int32_t token);
  /// What is still incomplete, as U+FFFD.
  std::string rest();

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> tokens_;  ///< decoded again for each new one: back to a place where the text was whole
  size_t given_ = 0;             ///< bytes of their text that were returned
};

}  // namespace mbt

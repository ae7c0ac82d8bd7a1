// Converts between text and tokens when a model is used, not trained.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// Returns the special tokens that the tokenizer puts before a text (a bos, or none), without those that it puts after one.
std::vector<int32_t> leading_tokens(const Tokenizer& tokenizer);

/// Decodes tokens one by one. A token may be part of a character, and with SentencePiece its text depends on the tokens before it.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// Returns the text that this token completes. An incomplete character waits for the next token; invalid bytes become U+FFFD.
  std::string add(int32_t token);
  /// What is still incomplete, as U+FFFD.
  std::string rest();

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> tokens_;  ///< decoded again for each new one: back to a place where the text was whole
  size_t given_ = 0;             ///< bytes of their text that were returned
};

}  // namespace mbt

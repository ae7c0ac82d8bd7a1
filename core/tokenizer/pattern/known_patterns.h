// The patterns of widespread tokenizers, matched by hand: some ten times as fast as the pattern itself, and the same pieces (tested).
#pragma once

#include <optional>
#include <string_view>

#include "core/base/function_ref.h"

namespace mbt {

using PieceSink = FunctionRef<void(std::string_view)>;

/// What sets the known patterns apart. All cover the whole text: each character belongs to one match.
struct KnownPattern {
  enum Words {
    gpt2,    ///< ` ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+`, contractions in lower case
    cl100k,  ///< `[^\r\n\p{L}\p{N}]?\p{L}+`, as GPT-4, Llama 3 and Qwen
    o200k    ///< the same, with a capital only where a word begins, as GPT-4o
  } words = gpt2;
  bool has_contractions = true;  ///< 's 't 're 've 'm 'll 'd
  int max_digits = 0;            ///< of one piece; 0: any number
  bool has_slash = false;        ///< slashes follow punctuation as new lines do

  void split(std::string_view text, PieceSink sink) const;
};

/// The pattern, when it is one of them, spelled as published.
std::optional<KnownPattern> find_known_pattern(std::string_view pattern);

}  // namespace mbt

#include "core/eval/text_tokens.h"

#include <algorithm>
#include <string_view>

#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

/// Bytes of `text` up to the beginning of a character that lacks bytes at the end.
size_t whole_characters(std::string_view text) {
  size_t begin = text.size();
  for (int back = 0; back < 3 && begin > 0; ++back) {
    const auto byte = static_cast<unsigned char>(text[--begin]);
    if (byte < 0x80) return text.size();
    if (byte < 0xC0) continue;  // inside a character
    const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    return begin + length > text.size() ? begin : text.size();
  }
  return text.size();
}

/// Bytes of `text` without the U+FFFD at its end, three at most: SentencePiece shows a character of single bytes so until its last one
/// comes.
size_t without_unfinished(std::string_view text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  size_t end = whole_characters(text);
  for (int i = 0; i < 3 && text.substr(0, end).ends_with(kReplacement); ++i) end -= kReplacement.size();
  return end;
}

}  // namespace

std::vector<int32_t> leading_tokens(const Tokenizer& tokenizer) {
  std::vector<int32_t> with, without;
  tokenizer.encode("a", with, true);
  tokenizer.encode("a", without);
  const auto at = std::search(with.begin(), with.end(), without.begin(), without.end());
  return {with.begin(), at};
}

std::string TextStream::add(int32_t token) {
  constexpr size_t kMost = 64;
  tokens_.push_back(token);
  const std::string text = tokenizer_.decode_bytes(tokens_);
  given_ = std::min(given_, text.size());
  const size_t whole = std::max(given_, without_unfinished(text));
  std::string news = replace_invalid_utf8(std::string_view(text).substr(given_, whole - given_));
  given_ = whole;
  if (tokens_.size() > kMost && whole == text.size()) {  // go on from the second half, whose text no longer begins a text
    tokens_.erase(tokens_.begin(), tokens_.end() - kMost / 2);
    given_ = tokenizer_.decode_bytes(tokens_).size();
  }
  return news;
}

std::string TextStream::rest() {
  const std::string text = tokenizer_.decode_bytes(tokens_);
  return replace_invalid_utf8(std::string_view(text).substr(std::min(given_, text.size())));
}

}  // namespace mbt

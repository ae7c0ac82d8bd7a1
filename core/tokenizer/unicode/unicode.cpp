#include "core/tokenizer/unicode/unicode.h"

#include <algorithm>
#include <memory>

#include "core/tokenizer/unicode/unicode_tables.h"

namespace mbt {
namespace {

uint16_t bits_of(Category c) {
  uint16_t bits = 0;
  if (c <= Lo) bits |= kIsLetter;
  if (c >= Mn && c <= Me) bits |= kIsMark;
  if (c >= Nd && c <= No) bits |= kIsNumber | kIsDigit;
  if (c == Lu || c == Lt || c == Lm || c == Lo || (bits & kIsMark) != 0) bits |= kIsUpperLike;
  if (c == Ll || c == Lm || c == Lo || (bits & kIsMark) != 0) bits |= kIsLowerLike;
  if ((bits & (kIsLetter | kIsMark)) != 0 || c == Nd || c == Nl || c == Pc) bits |= kIsWord;
  return bits;
}

std::unique_ptr<CharTable> make_table() {
  auto table = std::make_unique<CharTable>();
  for (int i = 0; i < kCategoryRunsCount; ++i) {
    const uint32_t begin = kCategoryRuns[i] >> 8, end = i + 1 < kCategoryRunsCount ? kCategoryRuns[i + 1] >> 8 : kCodePoints;
    const auto category = static_cast<Category>(kCategoryRuns[i] & 0xFF);
    std::fill(table->category + begin, table->category + end, category);
    std::fill(table->bits + begin, table->bits + end, bits_of(category));
  }
  const auto flip = [&](const CodePointRange* ranges, int count, uint16_t bit) {
    for (int i = 0; i < count; ++i)
      for (uint32_t c = ranges[i].first; c <= ranges[i].last; ++c) table->bits[c] ^= bit;
  };
  flip(kSpace, kSpaceCount, kIsSpace);
  flip(kWordDifference, kWordDifferenceCount, kIsWord);
  flip(kDigitDifference, kDigitDifferenceCount, kIsDigit);
  flip(kPunctuation, kPunctuationCount, kIsPunctuation);
  flip(kUnknownToNormalizer, kUnknownToNormalizerCount, kIsNew);
  table->bits['\r'] |= kIsNewline;
  table->bits['\n'] |= kIsNewline;
  return table;
}

/// Bytes of the character that begins the text when it is whole, else how many could begin one (at least 1), negated.
int character_length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return -1;
  const int length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  unsigned char low = 0x80, high = 0xBF;  // of the second byte: no overlong forms, surrogates or code points beyond the last
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  for (int i = 1; i < length; ++i, low = 0x80, high = 0xBF)
    if (static_cast<size_t>(i) >= s.size() || byte(static_cast<size_t>(i)) < low || byte(static_cast<size_t>(i)) > high) return -i;
  return length;
}

}  // namespace

const CharTable& char_table() {
  static const std::unique_ptr<CharTable> table = make_table();
  return *table;
}

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<signed char>(text[at]) >= 0) {
      ++at;
      continue;
    }
    const int length = character_length(text.substr(at, 4));
    if (length < 0) return at;
    at += static_cast<size_t>(length);
  }
  return std::string_view::npos;
}

void append_utf8(uint32_t c, std::string& out) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    tail(12), tail(6), tail(0);
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const int length = character_length(bytes.substr(0, 4));
    out += length > 0 ? bytes.substr(0, static_cast<size_t>(length)) : std::string_view("\xEF\xBF\xBD");
    bytes.remove_prefix(static_cast<size_t>(std::abs(length)));
  }
  return out;
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t c = next_code_point(text, at);
    const auto* found =
        std::lower_bound(kLower, kLower + kLowerCount, c, [](const CodePointLower& l, uint32_t value) { return l.code_point < value; });
    out += found != kLower + kLowerCount && found->code_point == c ? std::string_view(found->lower) : text.substr(begin, at - begin);
  }
  return out;
}

}  // namespace mbt

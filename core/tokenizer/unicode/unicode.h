// Characters: UTF-8 and what each code point is, as the `tokenizers` package sees it (tables: scripts/make_unicode_tables.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mbt {

/// General categories, in the order of the table.
enum Category : uint8_t {
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Cs,
  Co,
  Cn,
  kCategoryCount
};
constexpr const char* kCategoryNames[kCategoryCount] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                                        "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                                        "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};
constexpr uint32_t kCodePoints = 0x110000;

/// One bit each in CharTable::bits.
enum CharBit : uint16_t {
  kIsLetter = 1,         ///< L
  kIsMark = 2,           ///< M
  kIsNumber = 4,         ///< N
  kIsSpace = 8,          ///< white space, in patterns and beside added tokens alike
  kIsNewline = 16,       ///< \r and \n
  kIsUpperLike = 32,     ///< Lu, Lt, Lm, Lo, M
  kIsLowerLike = 64,     ///< Ll, Lm, Lo, M
  kIsWord = 128,         ///< beside these a single_word token is not found
  kIsDigit = 256,        ///< what the pre-tokenizer Digits splits off
  kIsPunctuation = 512,  ///< what the pre-tokenizer Punctuation splits off
  kIsNew = 1024,         ///< unassigned in the Unicode of the package's normalizer, which leaves it alone
};

/// The properties of every code point. Built once, 3.3 MB; most texts touch only a few pages of it.
struct CharTable {
  Category category[kCodePoints];
  uint16_t bits[kCodePoints];
};
const CharTable& char_table();

/// \w of patterns: as kIsWord, but without joiners, and with the digits of Latin-1 that stand high or in fractions.
inline bool is_pattern_word(uint32_t c) {
  if (c == 0x200C || c == 0x200D) return false;
  if (c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0xBC && c <= 0xBE)) return true;
  return (char_table().bits[c] & kIsWord) != 0;
}

/// Byte offset of the first byte that is not UTF-8 (overlong forms, surrogates and beyond U+10FFFF included), or npos.
size_t find_invalid_utf8(std::string_view text);

/// The code point at `at`, which moves behind it. The text must be UTF-8 and `at` before its end.
inline uint32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[at + i])); };
  const uint32_t first = byte(0);
  if (first < 0x80) return ++at, first;
  uint32_t c = 0;
  if (first < 0xE0) {
    c = (first & 0x1F) << 6 | (byte(1) & 0x3F);
    at += 2;
  } else if (first < 0xF0) {
    c = (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    at += 3;
  } else {
    c = (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    at += 4;
  }
  return c;
}

/// The start of the code point before `at` > 0.
inline size_t previous_start(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

inline uint32_t code_point_at(std::string_view text, size_t at) { return next_code_point(text, at); }

void append_utf8(uint32_t code_point, std::string& out);

/// As Rust's String::from_utf8_lossy: each longest piece that could begin a character becomes one U+FFFD, and so does each other wrong
/// byte.
std::string replace_invalid_utf8(std::string_view bytes);

/// Every character in lower case, one at a time.
std::string lowercase(std::string_view text);

}  // namespace mbt

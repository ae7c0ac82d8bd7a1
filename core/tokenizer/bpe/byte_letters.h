// The letters that vocabularies of byte-level BPE write bytes with: printable bytes as themselves, all others from U+0100 on.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/tokenizer/unicode/unicode.h"

namespace mbt {

constexpr uint32_t kFirstShiftedLetter = 0x100;

/// Code point of each byte.
constexpr std::array<uint32_t, 256> byte_letters() {
  std::array<uint32_t, 256> letters{};
  uint32_t next = kFirstShiftedLetter;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool is_printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    letters[b] = is_printable ? b : next++;
  }
  return letters;
}

/// The bytes that a token of the vocabulary stands for; nothing when one of its characters is no byte's letter. Must be UTF-8.
inline std::optional<std::string> bytes_of_letters(std::string_view token) {
  static const std::array<int16_t, 0x180> byte_of = [] {
    std::array<int16_t, 0x180> table;
    table.fill(-1);
    for (uint32_t b = 0; b < 256; ++b) table[byte_letters()[b]] = static_cast<int16_t>(b);
    return table;
  }();
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const uint32_t c = next_code_point(token, at);
    if (c >= byte_of.size() || byte_of[c] < 0) return std::nullopt;
    bytes += static_cast<char>(byte_of[c]);
  }
  return bytes;
}

}  // namespace mbt

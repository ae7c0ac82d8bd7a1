#include "core/base/json_mend.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/base/function_ref.h"

namespace mbt {
namespace {

constexpr std::string_view kMarkBegin = "\"@mbtrain:", kMarkEnd = "@\"";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_of_word(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' || c == '.'; }

/// Behind the string that begins at `at`; the end of the text where it does not end.
size_t end_of_string(std::string_view text, size_t at) {
  while (true) {
    const size_t quote = text.find('"', at + 1);
    if (quote == text.npos) return text.size();
    size_t backslashes = 0;
    while (text[quote - 1 - backslashes] == '\\') ++backslashes;  // the string's first quote ends this
    if (backslashes % 2 == 0) return quote + 1;
    at = quote;
  }
}

/// Whether JSON allows the number to be written so.
bool is_json_number(std::string_view token) {
  size_t at = token.starts_with('-') ? 1 : 0;
  const auto digits = [&] {
    const size_t begin = at;
    while (at < token.size() && is_digit(token[at])) ++at;
    return at - begin;
  };
  const bool has_zero_in_front = at + 1 < token.size() && token[at] == '0' && is_digit(token[at + 1]);
  if (has_zero_in_front || digits() == 0) return false;
  if (at < token.size() && token[at] == '.' && (++at, digits() == 0)) return false;
  if (at < token.size() && (token[at] == 'e' || token[at] == 'E')) {
    ++at;
    if (at < token.size() && (token[at] == '+' || token[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == token.size();
}

/// Outside of strings, each word of letters, digits, signs and dots: numbers, literals, and what is neither.
void for_each_word(std::string_view text, FunctionRef<void(size_t, std::string_view)> f) {
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '"') at = end_of_string(text, at);
    else if (!is_of_word(text[at])) ++at;
    else {
      size_t end = at + 1;
      while (end < text.size() && is_of_word(text[end])) ++end;
      f(at, text.substr(at, end - at));
      at = end;
    }
  }
}

/// What Python reads for a word that is odd; 0: it is none.
double odd_value(std::string_view word) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (word == "Infinity") return kInfinity;
  if (word == "-Infinity") return -kInfinity;
  constexpr size_t kShortestOverflow = 309;  // digits, without an exponent
  if (word.size() < kShortestOverflow && word.find_first_of("eE") == word.npos) return 0;
  if (!is_json_number(word)) return 0;
  const double value = std::strtod(std::string(word).c_str(), nullptr);
  return std::isfinite(value) ? 0 : value;
}

/// The 16 bits of "\uXXXX" at `at`; -1: there is no such escape.
int escape_at(std::string_view text, size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int value = 0;
  const auto parsed = std::from_chars(text.data() + at + 2, text.data() + at + 6, value, 16);
  return parsed.ptr == text.data() + at + 6 ? value : -1;
}

bool is_high(int code) { return code >= 0xD800 && code < 0xDC00; }
bool is_low(int code) { return code >= 0xDC00 && code < 0xE000; }

/// Calls f(at) for each escape of half a pair.
void for_each_half(std::string_view text, FunctionRef<void(size_t)> f) {
  if (text.find("\\u") == text.npos) return;
  for (size_t at = text.find('\\'); at != text.npos; at = text.find('\\', at)) {
    const int code = escape_at(text, at);
    if (code < 0) {
      at += 2;  // "\n", or a backslash that stands for itself
      continue;
    }
    const bool is_pair = is_high(code) && is_low(escape_at(text, at + 6));
    if (!is_pair && (is_high(code) || is_low(code))) f(at);
    at += is_pair ? 12 : 6;
  }
}

bool is_beyond_64_bits(std::string_view word) {
  constexpr size_t kSurelyInside = 18;
  if (word.size() <= kSurelyInside || word.find_first_of(".eE") != word.npos || !is_json_number(word)) return false;
  int64_t integer = 0;
  uint64_t natural = 0;
  const auto fails = [&](auto& value) { return std::from_chars(word.data(), word.data() + word.size(), value).ec != std::errc(); };
  return fails(integer) && fails(natural);
}

}  // namespace

MendedJson mend_json(std::string_view json) {
  MendedJson mended;
  const auto text = [&]() -> std::string& {
    if (mended.text.empty()) mended.text = json;
    return mended.text;
  };
  for_each_word(json, [&](size_t at, std::string_view word) {
    const double value = odd_value(word);
    if (value == 0) return;
    const size_t sign = word.starts_with('-') ? 1 : 0;
    text().replace(at + sign, word.size() - sign, word.size() - sign, ' ');
    text()[at + sign] = '0';
    mended.odd.push_back({at, std::string(word), value});
  });
  for_each_half(json, [&](size_t at) { text().replace(at + 2, 4, "fffd"); });
  return mended;
}

std::string with_marks(std::string_view json) {
  std::string marked;
  size_t done = 0;
  for_each_word(json, [&](size_t at, std::string_view word) {
    if (odd_value(word) == 0 && !is_beyond_64_bits(word)) return;
    marked.append(json.substr(done, at - done)).append(kMarkBegin).append(word).append(kMarkEnd);
    done = at + word.size();
  });
  marked.append(json.substr(done));
  for_each_half(std::string(marked), [&](size_t at) { marked.replace(at + 2, 4, "fffd"); });
  return marked;
}

std::string without_marks(std::string_view json) {
  std::string text;
  size_t done = 0;
  for (size_t at = json.find(kMarkBegin); at != json.npos; at = json.find(kMarkBegin, done)) {
    const size_t begin = at + kMarkBegin.size(), end = json.find(kMarkEnd, begin);
    if (end == json.npos) break;
    text.append(json.substr(done, at - done)).append(json.substr(begin, end - begin));
    done = end + kMarkEnd.size();
  }
  return text.append(json.substr(done));
}

}  // namespace mbt

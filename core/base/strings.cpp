#include "core/base/strings.h"

#include <charconv>
#include <cmath>

namespace mbt {
namespace {

std::string_view without_plus(std::string_view text) {
  const bool has_digit_after = text.size() > 1 && text[1] != '-' && text[1] != '+';
  return !text.empty() && text[0] == '+' && has_digit_after ? text.substr(1) : text;
}

template <class T>
ParseResult parse(std::string_view text, T& value) {
  text = without_plus(text);
  T parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return ParseResult::malformed;
  if (error == std::errc::result_out_of_range) return ParseResult::out_of_range;
  value = parsed;
  return ParseResult::ok;
}

}  // namespace

ParseResult parse_integer(std::string_view text, int64_t& value) { return parse(text, value); }

ParseResult parse_number(std::string_view text, double& value) {
  double parsed = 0;
  const ParseResult result = parse(text, parsed);
  if (result != ParseResult::ok) return result;
  if (!std::isfinite(parsed)) return ParseResult::malformed;
  value = parsed;
  return ParseResult::ok;
}

std::string to_text(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return std::to_string(static_cast<int64_t>(value));
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::general);
  return std::string(buffer, result.ptr);
}

std::string_view trim(std::string_view text) {
  const char* blanks = " \t\r\n";
  const size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  if (trim(text).empty()) return parts;
  for (size_t from = 0;;) {
    const size_t to = text.find(separator, from);
    parts.emplace_back(trim(text.substr(from, to - from)));
    if (to == std::string_view::npos) return parts;
    from = to + 1;
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string joined;
  for (const std::string& part : parts) {
    if (&part != &parts.front()) joined += separator;
    joined += part;
  }
  return joined;
}

std::string underscored(std::string_view name) {
  std::string result(name);
  for (char& c : result)
    if (c == '-') c = '_';
  return result;
}

std::string shown(std::string_view text, size_t max_bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text.substr(0, max_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') result += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    else result += c;
  }
  return result + (text.size() > max_bytes ? "...\"" : "\"");
}

std::string wrapped(const std::string& text, size_t width, size_t indent) {
  std::string result;
  size_t column = 0;
  for (const std::string& word : split(text, ' ')) {
    if (column > 0 && column + 1 + word.size() > width) {
      result += "\n" + std::string(indent, ' ');
      column = 0;
    } else if (column > 0) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result;
}

}  // namespace mbt

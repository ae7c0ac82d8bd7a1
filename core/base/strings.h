// Small things done with text: numbers without locale, names, what may be shown to a user.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

enum class ParseResult { ok, malformed, out_of_range };

/// Decimal integer, the whole text. "12.0", "1e3" and " 1" are malformed; beyond int64 is out_of_range.
ParseResult parse_integer(std::string_view text, int64_t& value);

/// Decimal number, the whole text, rounded to nearest. "nan" and "inf" are malformed; beyond double is out_of_range.
ParseResult parse_number(std::string_view text, double& value);

/// The shortest decimal that reads back as the same double: "0.001", "1e-05", "100000".
std::string to_text(double value);

/// Between the separators, blanks at both ends removed; empty text gives no parts.
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// Names as users write them: '-' taken for '_'.
std::string underscored(std::string_view name);

/// Returns at most `max_bytes` of `text` in double quotes, with control characters and quotes as \xNN: safe for a terminal and a log.
std::string shown(std::string_view text, size_t max_bytes = 80);

/// `text` in lines of at most `width`, the later ones indented.
std::string wrapped(const std::string& text, size_t width, size_t indent);

}  // namespace mbt

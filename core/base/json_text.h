// Functions around the JSON parser and writer. Both are templates that cost over a second of compile time in each file that calls them, so
// only json_text.cpp calls them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace mbt {

/// How JSON is written: all in one line, or a line per value.
struct JsonStyle {
  int indent = -1;                ///< spaces per level; -1: one line
  bool is_ascii = false;          ///< other characters as \u escapes
  bool replaces_invalid = false;  ///< bytes that are not UTF-8 become U+FFFD; else they are an error
};

/// Returns `value` as JSON. Throws nlohmann::json::type_error for a string that is not UTF-8, unless style.replaces_invalid.
std::string json_text(const nlohmann::json& value, JsonStyle style = {});
std::string json_text(const nlohmann::ordered_json& value, JsonStyle style = {});

/// Throws nlohmann::json::parse_error. Where a user's file is read, core/base/json_reader.h says what is wrong and where.
nlohmann::json parse_json(std::string_view text);
nlohmann::ordered_json parse_ordered_json(std::string_view text);
/// is_discarded() where `text` is not JSON.
nlohmann::json parse_json_or_discard(std::string_view text);

}  // namespace mbt

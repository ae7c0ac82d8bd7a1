#include "core/base/json_text.h"

#include <nlohmann/json.hpp>

namespace mbt {
namespace {

template <class Json>
std::string written(const Json& value, JsonStyle style) {
  return value.dump(style.indent, ' ', style.is_ascii,
                    style.replaces_invalid ? Json::error_handler_t::replace : Json::error_handler_t::strict);
}

}  // namespace

std::string json_text(const nlohmann::json& value, JsonStyle style) { return written(value, style); }
std::string json_text(const nlohmann::ordered_json& value, JsonStyle style) { return written(value, style); }
nlohmann::json parse_json(std::string_view text) { return nlohmann::json::parse(text); }
nlohmann::ordered_json parse_ordered_json(std::string_view text) { return nlohmann::ordered_json::parse(text); }
nlohmann::json parse_json_or_discard(std::string_view text) { return nlohmann::json::parse(text, nullptr, false); }

}  // namespace mbt

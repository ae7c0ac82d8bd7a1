#include "core/config/json_value.h"

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"

namespace mbt {

using nlohmann::json;

JsonValue::JsonValue() : value_(std::make_unique<json>()) {}
JsonValue::JsonValue(const json& value) : value_(std::make_unique<json>(value)) {}
JsonValue::JsonValue(json&& value) : value_(std::make_unique<json>(std::move(value))) {}
JsonValue::JsonValue(const JsonValue& other) : value_(std::make_unique<json>(*other)) {}
JsonValue::JsonValue(JsonValue&& other) noexcept = default;
JsonValue& JsonValue::operator=(const JsonValue& other) { return *this = JsonValue(other); }
JsonValue& JsonValue::operator=(JsonValue&& other) noexcept = default;
JsonValue::~JsonValue() = default;

std::string json_text(const JsonValue& value) { return json_text(*value); }

}  // namespace mbt

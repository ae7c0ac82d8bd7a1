// A JSON value in a struct whose header need not know what JSON is: <nlohmann/json.hpp> costs a second in each source file.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace mbt {

/// Owns a value and copies with it. Never empty except after a move.
class JsonValue {
 public:
  JsonValue();  ///< null
  JsonValue(const nlohmann::json& value);
  JsonValue(nlohmann::json&& value);
  JsonValue(const JsonValue& other);
  JsonValue(JsonValue&& other) noexcept;
  JsonValue& operator=(const JsonValue& other);
  JsonValue& operator=(JsonValue&& other) noexcept;
  ~JsonValue();

  nlohmann::json& operator*() { return *value_; }
  const nlohmann::json& operator*() const { return *value_; }
  nlohmann::json* operator->() { return value_.get(); }
  const nlohmann::json* operator->() const { return value_.get(); }

 private:
  std::unique_ptr<nlohmann::json> value_;
};

/// On one line.
std::string json_text(const JsonValue& value);

}  // namespace mbt

// A Hugging Face config.json with checked access.
#pragma once

#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/json_text.h"
#include "core/config/config_input.h"

namespace mbt {

/// Functions that read a value throw InputError, with the key and its line, when the value has another type.
class HfConfig {
 public:
  /// document must outlive it.
  explicit HfConfig(const JsonDocument& document) : document_(document) {
    if (!document_.root.is_object()) throw InputError(fmt::format("{}: expected an object", document_.source));
  }

  /// Absent and null are the same.
  bool has(const std::string& pointer) const {
    document_.refuse_flaws(pointer, false);
    const nlohmann::json::json_pointer p(pointer);
    return document_.root.contains(p) && !document_.root[p].is_null();
  }
  bool is_null(const std::string& pointer) const {
    document_.refuse_flaws(pointer, false);
    const nlohmann::json::json_pointer p(pointer);
    return document_.root.contains(p) && document_.root[p].is_null();
  }
  const nlohmann::json& at(const std::string& pointer) const {
    if (!has(pointer)) throw InputError(fmt::format("{}: {} is missing", document_.source, pointer.substr(1)));
    const nlohmann::json& value = document_.root[nlohmann::json::json_pointer(pointer)];
    document_.refuse_flaws(pointer, !value.is_object());  // of an object other keys may be none of ours
    return value;
  }
  int64_t integer(const std::string& pointer) const { return typed<int64_t>(pointer, &nlohmann::json::is_number_integer, "an integer"); }
  double number(const std::string& pointer) const { return typed<double>(pointer, &nlohmann::json::is_number, "a number"); }
  double number_within(const std::string& pointer, double low, double high) const {
    const double value = number(pointer);
    if (!(value >= low && value <= high)) refuse(pointer, fmt::format("expected a number from {} to {}", low, high));
    return value;
  }
  bool boolean(const std::string& pointer) const { return typed<bool>(pointer, &nlohmann::json::is_boolean, "true or false"); }
  std::string string(const std::string& pointer) const { return typed<std::string>(pointer, &nlohmann::json::is_string, "a string"); }
  int64_t integer_or(const std::string& pointer, int64_t value) const { return has(pointer) ? integer(pointer) : value; }
  double number_or(const std::string& pointer, double value) const { return has(pointer) ? number(pointer) : value; }
  bool boolean_or(const std::string& pointer, bool value) const { return has(pointer) ? boolean(pointer) : value; }
  std::string string_or(const std::string& pointer, const std::string& value) const { return has(pointer) ? string(pointer) : value; }

  /// `field` of section "model" := value, which the key at `pointer` has given.
  Assignment assignment(const char* field, nlohmann::json value, const std::string& pointer) const {
    return {"model", field, std::move(value), {Origin::Kind::hf_config, where(pointer)}};
  }

  std::string where(const std::string& pointer) const { return fmt::format("{}: {}", document_.where(pointer), pointer.substr(1)); }
  [[noreturn]] void refuse(const std::string& pointer, const std::string& why) const {
    throw InputError(fmt::format("{} is {}: {}", where(pointer), json_text(at(pointer)).substr(0, 200), why));
  }

 private:
  template <class T, class Is>
  T typed(const std::string& pointer, Is is, const char* expected) const {
    const nlohmann::json& value = at(pointer);
    if (!(value.*is)()) refuse(pointer, fmt::format("expected {}", expected));
    return value.get<T>();
  }

  const JsonDocument& document_;
};

/// InputError names a key that would change the model's result and is not implemented, unless it has a value without effect.
void refuse_unsupported(const HfConfig& config);

}  // namespace mbt

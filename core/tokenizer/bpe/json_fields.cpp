#include "core/tokenizer/bpe/json_fields.h"

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"

namespace mbt {

using nlohmann::json;

std::string shown_json(const json& value) {
  if (value.is_string()) return shown(value.get_ref<const std::string&>(), 60);
  if (value.is_structured()) return value.is_array() ? "an array" : "an object";
  return json_text(value);
}

JsonFields::JsonFields(const json& value, std::string where) : value_(value), where_(std::move(where)) {
  if (!value.is_object()) throw InputError(fmt::format("{}: {}; expected an object", where_, shown_json(value)));
}

std::string JsonFields::where(const std::string& key) const { return where_.back() == ' ' ? where_ + key : where_ + "." + key; }

void JsonFields::refuse(const std::string& key, const std::string& what) const { throw InputError(where(key) + ": " + what); }

const json* JsonFields::find(const std::string& key) {
  known_.insert(key);
  const auto found = value_.find(key);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

const json& JsonFields::need(const std::string& key) {
  const json* found = find(key);
  if (found == nullptr) refuse(key, "is missing");
  return *found;
}

bool JsonFields::flag(const std::string& key, bool otherwise) {
  const json* found = find(key);
  if (found == nullptr) return otherwise;
  if (!found->is_boolean()) refuse(key, shown_json(*found) + "; expected true or false");
  return found->get<bool>();
}

std::string JsonFields::string(const std::string& key, const std::string& otherwise) {
  return find(key) == nullptr ? otherwise : string(key);
}

std::string JsonFields::string(const std::string& key) {
  const json& found = need(key);
  if (!found.is_string()) refuse(key, shown_json(found) + "; expected a string");
  return found.get<std::string>();
}

int64_t JsonFields::integer(const std::string& key) {
  const json& found = need(key);
  if (!found.is_number_integer()) refuse(key, shown_json(found) + "; expected an integer");
  return found.get<int64_t>();
}

const json& JsonFields::array(const std::string& key) {
  const json& found = need(key);
  if (!found.is_array()) refuse(key, shown_json(found) + "; expected an array");
  return found;
}

const json& JsonFields::object(const std::string& key) {
  const json& found = need(key);
  if (!found.is_object()) refuse(key, shown_json(found) + "; expected an object");
  return found;
}

void JsonFields::refuse_others() const {
  for (const auto& [key, value] : value_.items())
    if (!value.is_null() && known_.count(key) == 0)
      refuse(shown(key), shown_json(value) + "; this field is not known here, and may change the tokens");
}

}  // namespace mbt

#include "core/config/field.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/nearest.h"
#include "core/base/python_value.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

using nlohmann::json;

template <class T>
constexpr FieldType type_of(const T*) {
  if constexpr (std::is_same_v<T, bool>) return FieldType::boolean;
  else if constexpr (std::is_same_v<T, int64_t>) return FieldType::integer;
  else if constexpr (std::is_same_v<T, double>) return FieldType::number;
  else if constexpr (std::is_same_v<T, std::string>) return FieldType::string;
  else if constexpr (std::is_same_v<T, std::vector<int64_t>>) return FieldType::integer_list;
  else return FieldType::string_list;
}
template <class T>
constexpr FieldType type_of(const std::optional<T>*) {
  return type_of(static_cast<const T*>(nullptr));
}
FieldType type_of(const EnumMember&) { return FieldType::choice; }

template <class T>
constexpr bool is_optional_member(const T*) {
  return false;
}
template <class T>
constexpr bool is_optional_member(const std::optional<T>*) {
  return true;
}
bool is_optional_member(const EnumMember& e) { return e.is_optional; }

json to_value(const std::string& v) { return v; }
json to_value(const std::vector<int64_t>& v) { return v; }
json to_value(const std::vector<std::string>& v) { return v; }
json to_value(bool v) { return v; }
json to_value(int64_t v) { return v; }
json to_value(double v) { return v; }
template <class T>
json to_value(const std::optional<T>& v) {
  return v ? to_value(*v) : json(nullptr);
}

template <class T>
json value_of(const T* member) {
  return to_value(*member);
}
json value_of(const EnumMember& e) {
  const std::optional<uint8_t> value = e.get(e.member);
  for (const EnumName& n : e.names)
    if (value == n.value) return n.name;
  return nullptr;
}

bool is_int64(const json& v) { return v.is_number_integer() && !(v.is_number_unsigned() && v.get<uint64_t>() > INT64_MAX); }

/// Whether the JSON value has the type; the value when it has.
std::optional<bool> from_value(const json& v, bool*) { return v.is_boolean() ? std::optional(v.get<bool>()) : std::nullopt; }
std::optional<int64_t> from_value(const json& v, int64_t*) { return is_int64(v) ? std::optional(v.get<int64_t>()) : std::nullopt; }
std::optional<double> from_value(const json& v, double*) {
  return v.is_number() && std::isfinite(v.get<double>()) ? std::optional(v.get<double>()) : std::nullopt;
}
std::optional<std::string> from_value(const json& v, std::string*) {
  if (v.is_null()) return "";  // Python's None where a path or a name may be absent
  if (!v.is_string() || v.get_ref<const std::string&>().find('\0') != std::string::npos) return std::nullopt;
  return v.get<std::string>();
}
std::optional<std::vector<int64_t>> from_value(const json& v, std::vector<int64_t>*) {
  if (!v.is_array()) return std::nullopt;
  std::vector<int64_t> list;
  for (const json& item : v) {
    if (!is_int64(item)) return std::nullopt;
    list.push_back(item.get<int64_t>());
  }
  return list;
}

/// An item of a list of texts: numbers stand for themselves.
std::optional<std::string> text_item(const json& v) {
  if (is_int64(v)) return fmt::format("{}", v.get<int64_t>());
  if (const auto number = from_value(v, static_cast<double*>(nullptr))) return to_text(*number);
  return from_value(v, static_cast<std::string*>(nullptr));
}

/// A flat list; or Megatron's blends, [[path, ...], [weight, ...]] and [[path, ...], null], as the flat list that says the same.
std::optional<std::vector<std::string>> from_value(const json& v, std::vector<std::string>*) {
  if (!v.is_array()) return std::nullopt;
  const bool is_nested = v.size() == 2 && v[0].is_array() && (v[1].is_null() || (v[1].is_array() && v[1].size() == v[0].size()));
  std::vector<std::string> list;
  for (size_t i = 0; i < (is_nested ? v[0].size() : v.size()); ++i) {
    if (is_nested && v[1].is_array()) {
      if (!v[1][i].is_number()) return std::nullopt;
      list.push_back(*text_item(v[1][i]));
    }
    const auto item = text_item(is_nested ? v[0][i] : v[i]);
    if (!item) return std::nullopt;
    list.push_back(*item);
  }
  return list;
}

bool in_range(double v, const FieldInfo& info) { return v >= info.min && v <= info.max; }
bool allowed(bool, const FieldInfo&) { return true; }
bool allowed(int64_t v, const FieldInfo& info) { return in_range(static_cast<double>(v), info); }
bool allowed(double v, const FieldInfo& info) { return in_range(v, info); }
bool allowed(const std::string&, const FieldInfo&) { return true; }
bool allowed(const std::vector<std::string>&, const FieldInfo&) { return true; }
bool allowed(const std::vector<int64_t>& v, const FieldInfo& info) {
  for (const int64_t item : v)
    if (!allowed(item, info)) return false;
  return true;
}

std::string refusal(const std::string& came, const Field& field) { return "got " + came + ", expected " + field.expected(); }

/// The choice that means the same, else the one that is spelt alike.
std::string choice_hint(const std::string& word, const EnumMember& e, const Field& field) {
  for (const EnumName& other : e.other_names)
    if (word == other.name)
      for (const EnumName& n : e.names)
        if (n.value == other.value) return fmt::format("; here that is \"{}\"", n.name);
  return did_you_mean(word, field.choices());
}

/// Whether the member accepts the value; it is then set.
template <class T>
bool set_member(T* member, const json& value, const FieldInfo& info) {
  auto converted = from_value(value, member);
  const bool is_allowed = converted && allowed(*converted, info);
  if (is_allowed) *member = std::move(*converted);
  return is_allowed;
}
template <class T>
bool set_member(std::optional<T>* member, const json& value, const FieldInfo& info) {
  if (value.is_null()) {
    member->reset();
    return true;
  }
  T plain{};
  if (!set_member(&plain, value, info)) return false;
  *member = std::move(plain);
  return true;
}
bool set_member(const EnumMember& e, const json& value, const FieldInfo&) {
  if (value.is_null() && e.is_optional) {
    e.set(e.member, std::nullopt);
    return true;
  }
  if (!value.is_string()) return false;
  for (const std::span<const EnumName> names : {e.names, e.accepted_names}) {
    for (const EnumName& n : names) {
      if (value.get_ref<const std::string&>() != n.name) continue;
      e.set(e.member, n.value);
      return true;
    }
  }
  return false;
}

/// A value for a message: short, and safe for a terminal.
std::string shown_value(const json& v) {
  if (v.is_string()) return shown(v.get_ref<const std::string&>());
  if (v.is_object()) return "an object";
  if (v.is_array()) return v.size() > 8 ? fmt::format("a list of {}", v.size()) : json_text(v);
  return json_text(v);
}

/// "[a b]": one item for Python, two words for us.
bool is_words_in_brackets(std::string_view text, const json& list) {
  return list.size() == 1 && list[0].is_string() && text.find_first_of("'\"") == text.npos;
}

/// Text as a JSON value of the type; nothing when it does not read as one.
std::optional<json> parse_text(std::string_view text, FieldType type) {
  int64_t integer = 0;
  double number = 0;
  switch (type) {
    case FieldType::string:
    case FieldType::choice: return json(std::string(text));
    case FieldType::boolean:
      for (const char* word : {"true", "True", "1"})
        if (text == word) return json(true);
      for (const char* word : {"false", "False", "0"})
        if (text == word) return json(false);
      return std::nullopt;
    case FieldType::integer: return parse_integer(text, integer) == ParseResult::ok ? std::optional(json(integer)) : std::nullopt;
    case FieldType::number: return parse_number(text, number) == ParseResult::ok ? std::optional(json(number)) : std::nullopt;
    case FieldType::integer_list: {
      if (json list = parse_python_list(text); list.is_array()) return list;
      json list = json::array();
      for (const std::string& part : split(text, ',')) {
        if (parse_integer(part, integer) != ParseResult::ok) return std::nullopt;
        list.push_back(integer);
      }
      return list;
    }
    case FieldType::string_list: {
      if (json as_json = parse_json_or_discard(text); as_json.is_array()) return as_json;
      if (json list = parse_python_list(text); list.is_array() && !is_words_in_brackets(text, list)) return list;
      if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
      json list = json::array();
      for (const std::string& part : split(text, text.find(',') == text.npos ? ' ' : ',')) {
        if (!part.empty()) list.push_back(part);
      }
      return list;
    }
  }
  return std::nullopt;
}

/// Why well-formed digits were refused.
std::string overflow_note(std::string_view text, FieldType type) {
  int64_t integer = 0;
  double number = 0;
  if (type == FieldType::integer && parse_integer(text, integer) == ParseResult::out_of_range) return " (beyond 64-bit integers)";
  if (type == FieldType::number && parse_number(text, number) == ParseResult::out_of_range) return " (beyond double precision)";
  return "";
}

std::string range_text(const FieldInfo& info) {
  const bool has_min = std::isfinite(info.min), has_max = std::isfinite(info.max);
  if (has_min && has_max) return " from " + to_text(info.min) + " to " + to_text(info.max);
  if (has_min) return " >= " + to_text(info.min);
  if (has_max) return " <= " + to_text(info.max);
  return "";
}

}  // namespace

FieldType Field::type() const {
  return std::visit([](const auto& member) { return type_of(member); }, pointer);
}

bool Field::is_optional() const {
  return std::visit([](const auto& member) { return is_optional_member(member); }, pointer);
}

std::vector<std::string> Field::choices() const {
  std::vector<std::string> all;
  if (const auto* e = std::get_if<EnumMember>(&pointer))
    for (const EnumName& n : e->names) all.emplace_back(n.name);
  return all;
}

std::string Field::expected() const {
  std::string result;
  if (std::isfinite(info.min) && info.min == info.max) return to_text(info.min) + ", the only value that is possible here";
  switch (type()) {
    case FieldType::boolean: result = "true or false"; break;
    case FieldType::integer: result = "an integer" + range_text(info); break;
    case FieldType::number: result = "a number" + range_text(info); break;
    case FieldType::string: result = "text"; break;
    case FieldType::choice: result = (choices().size() > 1 ? "one of " : "") + join(choices(), ", "); break;
    case FieldType::integer_list: result = "a list of integers" + range_text(info) + " such as [1,2]"; break;
    case FieldType::string_list: result = "a list such as [a,b]"; break;
  }
  return is_optional() ? result + ", or null" : result;
}

json Field::get() const {
  return std::visit([](const auto& member) { return value_of(member); }, pointer);
}

std::optional<std::string> Field::set(const json& value) {
  const bool is_set = std::visit([&](const auto& member) { return set_member(member, value, info); }, pointer);
  if (is_set) return std::nullopt;
  const auto* e = std::get_if<EnumMember>(&pointer);
  return refusal(shown_value(value), *this) + (e && value.is_string() ? choice_hint(value.get_ref<const std::string&>(), *e, *this) : "");
}

std::optional<std::string> Field::set_text(std::string_view in_quotes) {
  const bool is_list = type() == FieldType::integer_list || type() == FieldType::string_list;
  const std::string_view typed = is_list ? in_quotes : unquoted(in_quotes);  // Python's and Hydra's texts
  const bool may_be_absent = is_optional() || type() == FieldType::string;
  if (may_be_absent && (typed == "null" || typed == "None" || (is_optional() && typed == "none"))) return set(nullptr);
  const bool is_text = type() == FieldType::string || type() == FieldType::choice;
  const std::string_view text = is_text ? typed : trim(typed);
  const std::optional<json> value = parse_text(text, type());
  if (!value) return refusal(shown(typed) + overflow_note(text, type()), *this);
  return set(*value);
}

}  // namespace mbt

#include "core/megatron/bridge_fields.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/json_text.h"
#include "core/base/python_value.h"
#include "core/base/strings.h"
#include "core/megatron/argument_table.h"

namespace mbt {

extern const char* const embedded_megatron_bridge_json;  // the text of bridge.json

namespace {

using nlohmann::json;

/// Reasons are written for the command line: "--optimizer-cpu-offload" is the field optimizer_cpu_offload.
std::string without_dashes(std::string reason) {
  for (size_t at = reason.find("--"); at != reason.npos; at = reason.find("--", at)) {
    reason.erase(at, 2);
    for (; at < reason.size() && (std::isalnum(static_cast<unsigned char>(reason[at])) || reason[at] == '-'); ++at)
      if (reason[at] == '-') reason[at] = '_';
  }
  return reason;
}

/// What the argument of that name says; "no_x" too, which the field x switches off.
BridgeField by_argument(const std::string& path) {
  const std::string name = path.substr(path.find('.') + 1);
  const MegatronArgument* a = nullptr;
  for (const char* prefix : {"--", "--no-", "--disable-"})
    if (a == nullptr) a = find_megatron_argument(prefix + name);
  BridgeField field{.path = path};
  if (a == nullptr) return field;
  field.reason = without_dashes(a->reason);
  field.only = a->only;
  switch (a->kind) {
    case MegatronKind::without_effect: field.kind = BridgeKind::without_effect; break;
    case MegatronKind::refused:
    case MegatronKind::conditional: field.kind = BridgeKind::refused; break;
    case MegatronKind::mapped:
      if (a->field.empty()) break;
      field.kind = BridgeKind::mapped;
      field.fields = {a->field};
      break;
    case MegatronKind::special: break;
  }
  return field;
}

BridgeField read_bridge_row(const std::string& path, const json& row, BridgeKind kind) {
  BridgeField f{.path = path, .kind = kind};
  if (row.contains("field")) f.fields = split(row["field"].get<std::string>(), ' ');
  f.values = row.value("values", std::map<std::string, std::string>{});
  f.sets = row.value("sets", std::vector<std::string>{});
  f.only = row.value("only", std::vector<std::string>{});
  f.reason = row.value("reason", "");
  return f;
}

struct BridgeTable {
  std::vector<BridgeField> fields;
  std::map<std::string, BridgeField> sections;  ///< the answer of a whole section, whose reason it is

  BridgeTable() {
    const json root = parse_json(embedded_megatron_bridge_json, "bridge.json").root;
    for (const auto& [name, row] : root["sections"].items())
      sections[name] = read_bridge_row(name, row, row["kind"] == "refused" ? BridgeKind::refused : BridgeKind::without_effect);
    const std::map<std::string, BridgeField> rows = read_rows(root);
    for (const auto& [section, names] : root["defaults"].items()) {
      for (const auto& [name, value] : names.items()) {
        const std::string path = section + "." + name;
        const auto row = rows.find(path);
        const auto whole = sections.find(section);
        BridgeField field = row != rows.end() ? row->second : whole != sections.end() ? whole->second : by_argument(path);
        field.path = path;
        if (field.kind == BridgeKind::same)
          if (const BridgeField a = by_argument(path); a.kind == BridgeKind::refused) field.reason = a.reason, field.only = a.only;
        if (!value.is_object()) field.upstream = json_text(value);
        fields.push_back(std::move(field));
      }
    }
  }

 private:
  static std::map<std::string, BridgeField> read_rows(const json& root) {
    std::map<std::string, BridgeField> rows;
    for (const auto& [section, names] : root["same"].items())
      for (const json& name : names) {
        const std::string path = section + "." + name.get<std::string>();
        rows[path] = {.path = path, .kind = BridgeKind::same, .fields = {path}};
      }
    for (const auto& [name, kind] : {std::pair{"mapped", BridgeKind::mapped}, std::pair{"special", BridgeKind::special}})
      for (const auto& [path, row] : root[name].items()) rows[path] = read_bridge_row(path, row, kind);
    for (const auto& [name, kind] : {std::pair{"without_effect", BridgeKind::without_effect}, std::pair{"refused", BridgeKind::refused}})
      for (const json& group : root[name])  // fields that share a reason stand together
        for (const std::string& path : split(group["fields"].get<std::string>(), ' ')) rows[path] = read_bridge_row(path, group, kind);
    return rows;
  }
};

const BridgeTable& bridge_table() {
  static const BridgeTable all;
  return all;
}

/// A value in one spelling: without quotes and modules ("torch.float32", "AttnBackend.auto"), null, true and false as in JSON.
std::string plain_value(std::string_view text) {
  std::string value(unquoted(trim(text)));
  if (is_python_none(value)) return "null";
  const auto in_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; };
  const bool is_dotted_name =
      !value.empty() && std::isalpha(static_cast<unsigned char>(value[0])) && std::all_of(value.begin(), value.end(), in_name);
  if (is_dotted_name) value = value.substr(value.rfind('.') + 1);
  constexpr std::pair<const char*, const char*> kSame[] = {{"True", "true"},  {"False", "false"},  {"float32", "fp32"},
                                                           {"float", "fp32"}, {"float16", "fp16"}, {"bfloat16", "bf16"},
                                                           {"half", "fp16"}};
  for (const auto& [theirs, ours] : kSame)
    if (value == theirs) return ours;
  return value;
}

bool is_same_value(const std::string& a, const std::string& b) {
  double x = 0, y = 0;
  return a == b || (parse_number(a, x) == ParseResult::ok && parse_number(b, y) == ParseResult::ok && x == y);
}

}  // namespace

const std::vector<BridgeField>& bridge_fields() { return bridge_table().fields; }

const BridgeField* find_bridge_field(std::string_view section, std::string_view field) {
  static const std::map<std::string, const BridgeField*> by_path = [] {
    std::map<std::string, const BridgeField*> paths;
    for (const BridgeField& f : bridge_table().fields) paths[f.path] = &f;
    return paths;
  }();
  if (const auto found = by_path.find(underscored(section) + "." + underscored(field)); found != by_path.end()) return found->second;
  const auto whole = bridge_table().sections.find(underscored(section));
  return whole == bridge_table().sections.end() ? nullptr : &whole->second;
}

const std::string* foreign_section(std::string_view section) {
  const auto whole = bridge_table().sections.find(underscored(section));
  return whole == bridge_table().sections.end() ? nullptr : &whole->second.reason;
}

bool is_python_none(std::string_view value) {
  const std::string_view word = unquoted(value);
  return word == "null" || word == "None";
}

std::optional<bool> python_bool(std::string_view value) {
  const std::string plain = plain_value(value);
  if (plain == "true" || plain == "1") return true;
  if (plain == "false" || plain == "0" || plain == "null") return false;
  return std::nullopt;
}

bool asks_for_nothing(const BridgeField& field, std::string_view value) {
  const std::string given = plain_value(value);
  for (const std::string& only : field.only)
    if (is_same_value(given, plain_value(only))) return true;
  if (field.path.starts_with("peft")) return given == "null";  // one field of it, whatever its value, asks for adapters
  const std::string upstream = field.upstream ? plain_value(*field.upstream) : "null";
  if (field.upstream && is_same_value(given, upstream)) return true;
  if (upstream == "true") return given == "null";
  for (const char* off : {"", "0", "false", "null", "none", "[]", "{}", "()"})
    if (is_same_value(given, off)) return true;
  return false;
}

std::vector<std::pair<std::string, std::optional<std::string>>> mapped_fields(const BridgeField& field, std::string_view value) {
  std::vector<std::pair<std::string, std::optional<std::string>>> ours;
  const std::string given = plain_value(value);
  const bool is_on = python_bool(value).value_or(false);
  for (const std::string& s : field.sets)
    if (is_on) ours.emplace_back(s.substr(0, s.find('=')), s.substr(s.find('=') + 1));
  const auto word =
      std::find_if(field.values.begin(), field.values.end(), [&](const auto& w) { return w.first == given || w.first == value; });
  if (word != field.values.end() && word->second.empty()) return ours;
  for (const std::string& f : field.fields) ours.emplace_back(f, word == field.values.end() ? std::nullopt : std::optional(word->second));
  return ours;
}

}  // namespace mbt

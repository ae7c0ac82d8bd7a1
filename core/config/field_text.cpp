#include "core/config/field_text.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/config/upstream_names.h"

namespace mbt {

std::vector<const Field*> DefaultFields::of(const std::string& section) const {
  std::vector<const Field*> fields;
  for (const Field& field : table.all())
    if (field.section == section) fields.push_back(&field);
  return fields;
}

std::string meaning(const Field& field) {
  const std::string unit = field.info.unit;
  return unit.empty() ? field.info.doc : field.info.doc + std::string(" [") + unit + "]";
}

std::string default_text(const Field& field) {
  const nlohmann::json value = field.get();
  if (value.is_number_float()) return to_text(value.get<double>());
  if (value.is_string()) return value.get_ref<const std::string&>().empty() ? "\"\"" : value.get<std::string>();
  return json_text(value);
}

std::vector<std::string> flags_of(const Field& field) {
  std::vector<std::string> flags;
  if (!field.alias.empty()) flags.push_back("--" + field.alias);
  for (const Switch& s : switches()) {
    if (field.section != s.section || field.info.name != std::string_view(s.field)) continue;
    std::string flag = s.flag;
    std::replace(flag.begin(), flag.end(), '_', '-');
    flags.push_back(fmt::format("--{} ({})", flag, s.value));
  }
  return flags;
}

std::string value_name(const Field& field) {
  switch (field.info.holds) {
    case Holds::file: return "FILE";
    case Holds::folder: return "FOLDER";
    case Holds::path: return "PATH";
    case Holds::text: break;
  }
  switch (field.type()) {
    case FieldType::boolean: return "true|false";
    case FieldType::integer: return "N";
    case FieldType::number: return "X";
    case FieldType::string: return "TEXT";
    case FieldType::choice: {
      constexpr size_t kShort = 24;  // a longer list is left to expected()
      const std::string all = join(field.choices(), "|");
      return all.size() <= kShort ? all : "CHOICE";
    }
    case FieldType::integer_list: return "N,N,...";
    case FieldType::string_list: return "TEXT ...";
  }
  return "";
}

bool has_limits(const Field& field) {
  return field.type() == FieldType::choice || std::isfinite(field.info.min) || std::isfinite(field.info.max) || field.is_optional();
}

}  // namespace mbt

#include "core/config/config_json.h"

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/config/field_table.h"

namespace mbt {

nlohmann::ordered_json to_json(const RunConfig& config) {
  RunConfig copy = config;  // a table is bound to a config that it may change
  nlohmann::ordered_json result = nlohmann::ordered_json::object();
  for (const SectionInfo& section : config_sections()) result[section.name] = nlohmann::ordered_json::object();
  const FieldTable table(copy);
  for (const Field& field : table.all()) result[field.section][field.info.name] = field.get();
  return result;
}

std::string json_text(const RunConfig& config) {
  nlohmann::ordered_json file = {{kResolvedMark, true}};
  file.update(to_json(config));
  return json_text(file, {.indent = 2});
}

std::vector<FieldDifference> difference(const RunConfig& left, const RunConfig& right) {
  RunConfig a = left, b = right;
  const FieldTable fields_a(a), fields_b(b);
  std::vector<FieldDifference> differences;
  for (size_t i = 0; i < fields_a.all().size(); ++i) {
    nlohmann::json x = fields_a.all()[i].get(), y = fields_b.all()[i].get();
    if (x != y) differences.push_back({fields_a.all()[i].path(), std::move(x), std::move(y)});
  }
  return differences;
}

}  // namespace mbt

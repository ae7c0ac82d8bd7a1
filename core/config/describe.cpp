#include "core/config/describe.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/config/config_json.h"
#include "core/config/field_table.h"
#include "core/config/field_text.h"
#include "core/config/upstream_names.h"

namespace mbt {
namespace {

using nlohmann::ordered_json;

const char* json_type(FieldType type) {
  switch (type) {
    case FieldType::boolean: return "boolean";
    case FieldType::integer: return "integer";
    case FieldType::number: return "number";
    case FieldType::string:
    case FieldType::choice: return "string";
    case FieldType::integer_list:
    case FieldType::string_list: return "array";
  }
  return "";
}

ordered_json bound(const Field& field, double value) {
  return field.type() == FieldType::integer ? ordered_json(static_cast<int64_t>(value)) : ordered_json(value);
}

ordered_json field_schema(const Field& field) {
  ordered_json schema;
  schema["description"] = meaning(field);
  const char* const type = json_type(field.type());
  schema["type"] = field.is_optional() ? ordered_json({type, "null"}) : ordered_json(type);
  if (field.type() == FieldType::integer_list) schema["items"] = {{"type", "integer"}};
  if (field.type() == FieldType::string_list) schema["items"] = {{"type", {"string", "number", "array", "null"}}};
  if (std::isfinite(field.info.min)) schema["minimum"] = bound(field, field.info.min);
  if (std::isfinite(field.info.max)) schema["maximum"] = bound(field, field.info.max);
  if (field.type() == FieldType::choice) {
    schema["enum"] = field.choices();
    if (field.is_optional()) schema["enum"].push_back(nullptr);
  }
  schema["default"] = field.get();
  return schema;
}

ordered_json section_schema(const std::vector<const Field*>& fields, const char* doc) {
  ordered_json schema;
  schema["description"] = doc;
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  for (const Field* field : fields) schema["properties"][field->info.name] = field_schema(*field);
  return schema;
}

std::string escaped_cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

}  // namespace

ordered_json config_schema() {
  const DefaultFields defaults;
  ordered_json schema;
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "mbtrain run config";
  schema["description"] = "Made by `mbtrain config schema` from the field lists in core/config";
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  schema["properties"]["$schema"] = {{"type", "string"}};
  schema["properties"][kResolvedMark] = {{"description", "In a config that a run has saved: every value is here, also what nobody set"},
                                         {"type", "boolean"}};
  for (const SectionInfo& section : config_sections()) {
    ordered_json fields = section_schema(defaults.of(section.name), section.doc);
    if (section.name == std::string("dataset")) {
      fields["properties"][kBlendPerSplit] = {
          {"description", "Megatron's name for train_data_path, valid_data_path and test_data_path, as a list of the three"},
          {"type", {"array", "null"}}};
    }
    if (section.name != std::string("mixed_precision")) {
      schema["properties"][section.name] = std::move(fields);
      continue;
    }
    fields["properties"]["extends"] = {{"description", "Recipe whose values the other fields replace"}, {"type", "string"}};
    const ordered_json name = {{"description", "A recipe's name, or the path of a recipe file"}, {"type", "string"}};
    schema["properties"][section.name]["oneOf"] = ordered_json::array({name, std::move(fields)});
  }
  return schema;
}

std::string config_reference() {
  const DefaultFields defaults;
  std::string page =
      "# Configuration reference\n\n"
      "Made by `mbtrain config reference` from the field lists in `core/config`; a test keeps it up to date.\n\n"
      "A field is set in a file (`--config run.json`: `{\"train\": {\"train_iters\": 100}}`), as `train.train_iters=100`, as\n"
      "`--train.train_iters 100`, or by Megatron's flag where there is one: `--train-iters 100`. `-` and `_` are equal in names, `null` "
      "unsets an\n"
      "optional field. The command line wins over files, a later file over an earlier one. `configs/schema.json` tells editors the same.\n";
  for (const SectionInfo& section : config_sections()) {
    page += "\n## " + std::string(section.name) + "\n\n" + section.doc +
            ".\n\n| Field | Default | Expected | Meaning | Flag |\n|---|---|---|---|---|\n";
    for (const Field* field : defaults.of(section.name)) {
      std::string flag;
      for (const std::string& f : flags_of(*field)) flag += (flag.empty() ? "`" : ", `") + f + "`";
      page += "| `" + std::string(field->info.name) + "` | `" + default_text(*field) + "` | " + escaped_cell(field->expected()) + " | " +
              escaped_cell(meaning(*field)) + " | " + flag + " |\n";
    }
  }
  return page;
}

}  // namespace mbt

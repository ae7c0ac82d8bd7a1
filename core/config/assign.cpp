#include "core/config/assign.h"

#include <nlohmann/json.hpp>

#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "core/config/config_input.h"
#include "core/config/field_table.h"
#include "core/config/upstream_names.h"

namespace mbt {
namespace {

std::vector<std::string> section_names() {
  std::vector<std::string> names;
  for (const SectionInfo& section : config_sections()) names.emplace_back(section.name);
  return names;
}

/// Names of users in messages: as they are when they look like names.
std::string plain(const std::string& name) {
  const bool is_plain =
      name.size() < 100 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == name.npos;
  return is_plain ? name : shown(name);
}

/// What is wrong with the name, and the valid one that may have been meant.
std::string unknown_name(const FieldTable& table, const Assignment& assignment) {
  if (underscored(assignment.field) == kBlendPerSplit)
    return "expected three items, each a blend or null, such as [[[\"train\"], null], [[\"valid\"], null], null]; or set "
           "dataset.train_data_path, valid_data_path and test_data_path";
  std::vector<std::string> in_section, elsewhere;
  for (const Field& field : table.all()) {
    if (field.section == underscored(assignment.section)) in_section.emplace_back(field.info.name);
    if (field.info.name == underscored(assignment.field)) elsewhere.push_back(field.path());
  }
  const std::string also = elsewhere.empty() ? "" : "; there is " + join(elsewhere, ", ");
  if (in_section.empty()) return unknown_section(assignment.section) + also;
  const std::string hint = did_you_mean(assignment.field, in_section);
  if (!hint.empty() || !also.empty()) return "unknown field" + hint + also;
  return "unknown field; `mbtrain config reference` lists those of section " + underscored(assignment.section);
}

/// "run.json:12: model.lr", "command line, --lr: optimizer.lr", "command line, --optimizer.lr".
std::string place(const Assignment& assignment) {
  const std::string path = plain(assignment.section + "." + assignment.field);
  if (!assignment.is_text()) return assignment.origin.text.empty() ? path : assignment.origin.text + ": " + path;
  const std::string flag = plain(assignment.origin.text);
  const bool says_it_all = underscored(flag.substr(flag.rfind("--", 0) == 0 ? 2 : 0)) == path;
  return "command line, " + flag + (says_it_all ? "" : ": " + path);
}

}  // namespace

bool is_section(std::string_view name) {
  for (const SectionInfo& section : config_sections())
    if (underscored(name) == section.name) return true;
  return false;
}

std::string unknown_section(std::string_view name) {
  const std::string hint = did_you_mean(name, section_names());
  return "unknown section " + shown(name) + (hint.empty() ? "; expected one of " + join(section_names(), ", ") : hint);
}

void apply_assignments(RunConfig& config, const std::vector<Assignment>& assignments, Origins& origins, std::vector<Problem>& problems) {
  FieldTable table(config);
  std::vector<Assignment> own;
  for (const Assignment& assignment : assignments)
    for (Assignment& field : in_own_fields(assignment)) own.push_back(std::move(field));
  for (const Assignment& assignment : own) {
    Field* const field = table.find(assignment.section, assignment.field);
    if (!field) {
      problems.push_back({place(assignment), unknown_name(table, assignment)});
      continue;
    }
    const auto refused =
        assignment.is_text() ? field->set_text(assignment.value->get_ref<const std::string&>()) : field->set(*assignment.value);
    if (refused) problems.push_back({place(assignment), *refused, field->path()});
    else origins[field->path()] = assignment.origin;
  }
}

}  // namespace mbt

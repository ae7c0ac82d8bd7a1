#include "core/config/help.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/base/two_columns.h"
#include "core/config/command_line.h"
#include "core/config/field_text.h"
#include "core/config/upstream_names.h"

namespace mbt {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

/// The fields that people set most; a test checks that they exist.
constexpr const char* kMostUsed[] = {
    "dataset.blend",    "tokenizer.tokenizer_model", "model.num_layers",        "model.hidden_size",
    "model.seq_length", "train.micro_batch_size",    "train.global_batch_size", "train.train_iters",
    "optimizer.lr",     "checkpoint.save",           "checkpoint.load",         "train.device",
};

const Field& field_at(const FieldTable& table, const std::string& path) {
  const size_t dot = path.find('.');
  const Field* field = table.find(path.substr(0, dot), path.substr(dot + 1));
  MBT_CHECK(field != nullptr, "help lists {}, which is no field", path);
  return *field;
}

/// "Peak learning rate (default 0.001; number > 0)"
std::string explained(const Field& field) {
  std::string about = meaning(field) + " (default " + default_text(field);
  if (has_limits(field)) about += "; " + field.expected();
  return about + ")";
}

/// A field without its flags in the first column: the section is in the heading.
Rows rows_of(const std::vector<const Field*>& fields) {
  Rows rows;
  for (const Field* field : fields) {
    const std::vector<std::string> flags = flags_of(*field);
    rows.emplace_back(field->info.name, explained(*field) + (flags.empty() ? "" : "; " + join(flags, ", ")));
  }
  return rows;
}

std::string counted(size_t fields) { return fmt::format(" ({} field{})", fields, fields == 1 ? "" : "s"); }

std::string section_help(const DefaultFields& defaults, const SectionInfo& section, size_t width) {
  return wrapped(std::string(section.name) + ": " + section.doc, width, 2) + "\n" + two_columns(rows_of(defaults.of(section.name)), width);
}

std::string field_help(const Field& field, size_t width) {
  const std::string path = field.path(), value = value_name(field);
  std::vector<std::string> ways;
  for (const std::string& flag : flags_of(field)) ways.push_back(flag.find(' ') == flag.npos ? flag + " " + value : flag);
  ways.push_back("--" + path + " " + value);
  ways.push_back(path + "=" + value);
  const std::string in_file = "{\"" + field.section + "\": {\"" + field.info.name + "\": " + json_text(field.get()) + "}}";
  const Rows rows{
      {"Expected", field.expected()}, {"Default", default_text(field)}, {"Command line", join(ways, ", ")}, {"In a file", in_file}};
  return path + "\n  " + wrapped(meaning(field), width - 2, 2) + "\n\n" + two_columns(rows, width);
}

std::string flag_help(const ConfigFlag& flag, size_t width) {
  return std::string(flag.name) + (*flag.value ? std::string(" ") + flag.value : "") + "\n  " + wrapped(flag.doc, width - 2, 2) + "\n";
}

/// A field by its path, its flag, or its name, which fields of several sections may have.
std::vector<const Field*> fields_called(const FieldTable& table, const std::string& typed) {
  const bool has_dashes = typed.rfind("--", 0) == 0;
  const std::string name = underscored(has_dashes ? typed.substr(2) : typed);
  if (const Field* by_flag = table.find_alias(name)) return {by_flag};
  if (const Switch* s = find_switch(name)) return {table.find(s->section, s->field)};
  std::vector<const Field*> found;
  for (const Field& field : table.all())
    if (field.path() == name || (!has_dashes && field.info.name == name)) found.push_back(&field);
  return found;
}

}  // namespace

std::string config_help(size_t width) {
  const DefaultFields defaults;
  Rows ways;
  for (const ConfigFlag& flag : config_flags())
    ways.emplace_back(std::string(flag.name) + (*flag.value ? std::string(" ") + flag.value : ""), flag.doc);
  ways.emplace_back("--SECTION.FIELD VALUE", "Any field of the config; also SECTION.FIELD=VALUE, and Megatron's flag where there is one");
  Rows most_used;
  for (const char* path : kMostUsed) {
    const Field& field = field_at(defaults.table, path);
    most_used.emplace_back((field.alias.empty() ? "--" + field.path() : "--" + field.alias) + " " + value_name(field),
                           meaning(field) + " (default " + default_text(field) + ")");
  }
  Rows sections;
  for (const SectionInfo& section : config_sections())
    sections.emplace_back(section.name, section.doc + counted(defaults.of(section.name).size()));
  return "Run config:\n" + two_columns(ways, width) +
         wrapped(
             "The command line wins over files. '-' and '_' are equal in names; null unsets an optional field; a flag of true/false "
             "without a value means true.",
             width, 0) +
         "\n\nFields that are set most:\n" + two_columns(most_used, width) + "\nSections of the config:\n" + two_columns(sections, width);
}

std::string config_fields_help(size_t width) {
  const DefaultFields defaults;
  std::string help;
  for (const SectionInfo& section : config_sections()) help += (help.empty() ? "" : "\n") + section_help(defaults, section, width);
  return help;
}

std::optional<std::string> help_about(const std::string& name, size_t width) {
  const DefaultFields defaults;
  for (const SectionInfo& section : config_sections())
    if (underscored(name) == section.name) return section_help(defaults, section, width);
  for (const ConfigFlag& flag : config_flags())
    if (underscored(name) == underscored(flag.name)) return flag_help(flag, width);
  std::string help;
  for (const Field* field : fields_called(defaults.table, name)) help += (help.empty() ? "" : "\n") + field_help(*field, width);
  return help.empty() ? std::nullopt : std::optional(help);
}

std::vector<std::string> config_topics() {
  const DefaultFields defaults;
  std::vector<std::string> topics;
  for (const SectionInfo& section : config_sections()) topics.emplace_back(section.name);
  for (const ConfigFlag& flag : config_flags()) topics.emplace_back(flag.name);
  for (const Field& field : defaults.table.all()) {
    topics.push_back(field.path());
    topics.emplace_back(field.info.name);
    if (!field.alias.empty()) topics.push_back("--" + field.alias);
  }
  for (const Switch& s : switches()) topics.push_back("--" + std::string(s.flag));
  return topics;
}

}  // namespace mbt

#include "apps/mbtrain/completion_table.h"

#include <algorithm>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/verb_help.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/command_line.h"
#include "core/config/field_text.h"
#include "core/config/shipped_configs.h"
#include "core/config/upstream_names.h"
#include "core/megatron/argument_table.h"
#include "core/recipe/library.h"

namespace mbt {
namespace {

/// What may follow, by the word that stands for it in usage.
std::string values_called(const std::string& value) {
  if (value.empty()) return "@none";
  if (value == "FOLDER") return "@folder";
  if (value == "RECIPE") return "@recipe,@file";
  if (value == "FILE|NAME") return "@config,@file";
  if (value == "TOKENIZER") return "bytes,@file";
  if (value == "FILE" || value == "PATH" || value == "PREFIX") return "@file";
  return "@any";
}

std::string values_of(const OptionHelp& option) {
  const std::string values = option.choices.empty() ? values_called(option.value) : join(option.choices, ",");
  return option.takes_many ? values + ",@many" : values;
}

std::string values_of(const Field& field) {
  if (field.type() == FieldType::boolean) return "@optional,true,false";
  const std::string values = field.type() == FieldType::choice ? join(field.choices(), ",") : values_called(value_name(field));
  return field.type() == FieldType::string_list ? values + ",@many" : values;
}

std::string values_of(const MegatronArgument& argument, const FieldTable& table) {
  if (argument.takes == MegatronValues::none) return "@none";
  std::string values = "@any";
  if (!argument.only.empty()) values = join(argument.only, ",");
  else if (const size_t dot = argument.field.find('.'); dot != argument.field.npos) {
    if (const Field* field = table.find(argument.field.substr(0, dot), argument.field.substr(dot + 1))) values = values_of(*field);
  }
  return argument.takes == MegatronValues::many ? values + ",@many" : values;
}

class Rows {
 public:
  void add(std::string scope, std::string word, std::string values, std::string doc) {
    for (std::string* text : {&word, &values, &doc}) {
      std::replace_if(
          text->begin(), text->end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
      if (text->empty()) *text = "-";
    }
    rows.push_back({std::move(scope), std::move(word), std::move(values), std::move(doc)});
  }

  std::vector<CompletionRow> rows;
};

void add_verb(Rows& rows, const Verb& verb, const std::vector<std::string>& sub_verbs) {
  const VerbHelp help = help_of(verb, sub_verbs);
  for (const SubVerbHelp& s : help.sub_verbs) {
    rows.add(help.command, s.name, "@verb", s.doc);
    add_verb(rows, verb, {s.name});
  }
  for (const OptionHelp& option : help.options) {
    if (option.is_positional) rows.add(help.command, "*", values_of(option), option.doc);
    else
      for (const std::string& name : option.names) rows.add(help.command, name, values_of(option), option.doc);
  }
  if (help.needs_sub_verb) rows.add(help.command, "--help", "@none", "Show this help");
  if (help.takes_config || help.takes_megatron) rows.add(help.command, "--help-all", "@none", "Show the help with every field or argument");
  if (help.takes_config) rows.add(help.command, "+config", "@rows", "-");
  if (help.takes_megatron) rows.add(help.command, "+megatron", "@rows", "-");
  if (help.takes_config || help.takes_megatron) rows.add(help.command, "+field", "@rows", "-");
}

void add_config(Rows& rows, const DefaultFields& defaults) {
  for (const ConfigFlag& flag : config_flags()) rows.add("config", flag.name, values_called(flag.value), flag.doc);
  for (const Field& field : defaults.table.all()) {
    rows.add("field", "--" + field.path(), values_of(field), meaning(field));
    if (!field.alias.empty()) rows.add("config", "--" + field.alias, values_of(field), meaning(field));
  }
  for (const Switch& s : switches()) {
    std::string flag = s.flag;
    std::replace(flag.begin(), flag.end(), '_', '-');
    rows.add("config", "--" + flag, "@optional,true,false", fmt::format("{}.{} {}", s.section, s.field, s.value));
  }
}

}  // namespace

std::vector<CompletionRow> completion_table() {
  Rows rows;
  const DefaultFields defaults;
  rows.add("mbtrain", "--help", "@none", "Show the verbs");
  rows.add("mbtrain", "--version", "@none", "Print the version");
  for (const Verb& verb : verbs()) {
    rows.add("mbtrain", verb.name, "@verb", verb.doc);
    add_verb(rows, verb, {});
  }
  add_config(rows, defaults);
  for (const MegatronArgument& a : megatron_arguments())
    if (a.kind != MegatronKind::refused) rows.add("megatron", a.flag, values_of(a, defaults.table), a.field.empty() ? a.reason : a.field);
  const RecipeLibrary library = RecipeLibrary::load();
  for (const Recipe& recipe : library.all()) rows.add("recipe", recipe.name, "-", recipe.description);
  for (const std::string& name : shipped_config_names()) rows.add("shipped", name, "-", "shipped config");
  return rows.rows;
}

}  // namespace mbt

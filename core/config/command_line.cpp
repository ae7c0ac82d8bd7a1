#include "core/config/command_line.h"

#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "core/config/config_file.h"
#include "core/config/shipped_configs.h"
#include "core/config/upstream_names.h"

namespace mbt {
namespace {

/// An argument taken apart: "--lr=3" is flag "--lr", name "lr", value "3".
struct Argument {
  std::string flag;  ///< as typed, without the value
  std::string name;  ///< without dashes, '_' for '-'
  std::optional<std::string> value;
  bool has_dashes = false;
};

Argument take_apart(const std::string& typed) {
  Argument argument;
  argument.has_dashes = typed.rfind("--", 0) == 0;
  const size_t equals = typed.find('=');
  argument.flag = typed.substr(0, equals);
  argument.name = underscored(argument.has_dashes ? argument.flag.substr(2) : argument.flag);
  if (equals != std::string::npos) argument.value = typed.substr(equals + 1);
  return argument;
}

bool is_bool_word(const std::string& word) {
  for (const char* known : {"true", "True", "1", "false", "False", "0", "null", "none"})
    if (word == known) return true;
  return false;
}

/// Whether an argument can be an item of the list before it: neither a flag nor section.field=value.
bool is_list_item(const std::string& argument) {
  const size_t equals = argument.find('=');
  return argument.rfind("--", 0) != 0 && (equals == argument.npos || argument.substr(0, equals).find('.') == argument.npos);
}

bool is_base(const std::string& name) { return name == "fp16" || name == "bf16"; }

bool is_special(const std::string& name) { return name == "config" || name == "recipes" || name == "mixed_precision"; }

template <class T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

ConfigArguments::ConfigArguments() : table_(defaults_) {}

size_t ConfigArguments::take(const std::vector<std::string>& args, size_t at) {
  Argument argument = take_apart(args[at]);
  if (!argument.has_dashes && !argument.value) return 0;
  const size_t dot = argument.name.find('.');
  const Field* field = nullptr;
  if (dot != std::string::npos) field = table_.find(argument.name.substr(0, dot), argument.name.substr(dot + 1));
  else if (argument.has_dashes) field = table_.find_alias(argument.name);
  const bool is_recipe_override = !argument.has_dashes && argument.name == "mixed_precision";
  const bool is_switch = argument.has_dashes && !field && (is_base(argument.name) || find_switch(argument.name) != nullptr);
  const bool is_known =
      field || is_switch || dot != std::string::npos || (argument.has_dashes && is_special(argument.name)) || is_recipe_override;
  if (!is_known) return 0;

  size_t taken = 1;
  if (!argument.value) {
    const bool has_next = at + 1 < args.size() && args[at + 1].rfind("--", 0) != 0;
    const bool is_bool = is_switch || (field && field->type() == FieldType::boolean);
    if (has_next && (!is_bool || is_bool_word(args[at + 1]))) {
      argument.value = args[at + 1];
      taken = 2;
      const bool is_list = field && field->type() == FieldType::string_list && argument.has_dashes;
      for (; is_list && at + taken < args.size() && is_list_item(args[at + taken]); ++taken) *argument.value += " " + args[at + taken];
    } else if (is_bool) {
      argument.value = "true";
    } else {
      from_line_.problems.push_back({"command line, " + argument.flag, "needs a value" + (field ? ": " + field->expected() : "")});
      return 1;
    }
  }
  if (field) take_field(argument.flag, field->section, field->info.name, *argument.value);
  else if (dot != std::string::npos)
    take_field(argument.flag, argument.name.substr(0, dot), argument.name.substr(dot + 1), *argument.value);
  else if (is_switch) take_switch(argument.flag, argument.name, *argument.value);
  else take_special(argument.flag, argument.name, *argument.value);
  return taken;
}

void ConfigArguments::take_special(const std::string& flag, const std::string& name, const std::string& value) {
  if (value.empty()) {
    from_line_.problems.push_back(
        {"command line, " + flag, "is empty, expected a " + std::string(name == "mixed_precision" ? "recipe" : "file")});
  } else if (name == "config") {
    take_config(flag, value);
  } else if (name == "recipes") {
    from_line_.recipe_files.push_back(value);
  } else {
    from_line_.recipe = is_null_word(value) ? kNoRecipe : value;
    from_line_.recipe_origin = {Origin::Kind::command_line, flag};
  }
}

/// A file, or the name of a shipped config. A file of that name in the current folder comes first.
void ConfigArguments::take_config(const std::string& flag, const std::string& value) {
  const std::string extension = std::filesystem::path(value).extension().string();
  std::error_code none;
  if (extension == ".yaml" || extension == ".yml") {
    from_line_.problems.push_back(
        {"command line, " + flag, shown(value) + ": run configs are JSON, not YAML; `mbtrain config show` prints one to begin with"});
  } else if (std::filesystem::exists(value, none) || extension == ".json" || value.find('/') != value.npos) {
    read_config_file(value, from_files_);
  } else if (const char* text = shipped_config(value)) {
    read_config_text(text, value, from_files_);
  } else {
    const std::vector<std::string> names = shipped_config_names();
    from_line_.problems.push_back({"command line, " + flag, fmt::format("{} is neither a file nor a shipped config{}; shipped are {}",
                                                                        shown(value), did_you_mean(value, names), join(names, ", "))});
  }
}

void ConfigArguments::take_switch(const std::string& flag, const std::string& name, const std::string& value) {
  const Origin origin{Origin::Kind::command_line, flag};
  const bool is_on = value == "true" || value == "True" || value == "1";
  if (!is_on && value != "false" && value != "False" && value != "0") {
    from_line_.problems.push_back({"command line, " + flag, fmt::format("got {}, expected no value, true or false", shown(value))});
  } else if (!is_base(name)) {
    const Switch& s = *find_switch(name);
    from_line_.assignments.push_back({s.section, s.field, nlohmann::json(s.value == is_on ? "true" : "false"), origin});
  } else {
    std::erase_if(from_line_.bases, [&](const BaseChoice& b) { return b.type() == name; });
    if (is_on) from_line_.bases.push_back({name == "fp16", origin});
  }
}

void ConfigArguments::take_field(const std::string& flag, const std::string& section, const std::string& field, const std::string& value) {
  if (section == "mixed_precision" && field == "name") take_special(flag, section, value);
  else from_line_.assignments.push_back({section, field, nlohmann::json(value), {Origin::Kind::command_line, flag}});
}

size_t ConfigArguments::refuse(const std::vector<std::string>& args, size_t at, const std::vector<std::string>& other_flags) {
  const Argument argument = take_apart(args[at]);
  std::vector<std::string> flags = other_flags, same_name;
  for (const char* special : {"--config", "--recipes", "--mixed-precision"}) flags.emplace_back(special);
  for (const Field& field : table_.all()) {
    if (!field.alias.empty()) flags.push_back("--" + field.alias);
    if (field.info.name == argument.name) same_name.push_back("--" + field.path());
  }
  std::string what =
      argument.has_dashes ? "unknown flag" : "unexpected argument; fields are set by section.field=value or --section.field value";
  if (const char* here = argument.has_dashes ? what_it_is_here(argument.name) : nullptr) what += std::string("; here ") + here;
  else if (!argument.has_dashes && argument.flag.ends_with(".json")) what += "; a run config is given as --config " + argument.flag;
  else if (!same_name.empty()) what += "; there is " + join(same_name, ", ");
  else if (argument.has_dashes)
    what += nearest(argument.flag, flags).empty() ? "; --help lists the flags" : did_you_mean(argument.flag, flags);
  from_line_.problems.push_back({"command line, " + shown(argument.flag), what});
  const bool next_is_value = argument.has_dashes && !argument.value && at + 1 < args.size() && args[at + 1].rfind("--", 0) != 0 &&
                             args[at + 1].find('=') == std::string::npos;
  return next_is_value ? 2 : 1;
}

ConfigInput ConfigArguments::finish() && {
  ConfigInput input = std::move(from_files_);
  if (from_line_.recipe) {
    input.recipe = std::move(from_line_.recipe);
    input.recipe_origin = std::move(from_line_.recipe_origin);
    input.inline_recipe.reset();
    input.inline_origins.clear();
  }
  append(input.bases, std::move(from_line_.bases));
  append(input.recipe_files, std::move(from_line_.recipe_files));
  append(input.assignments, std::move(from_line_.assignments));
  append(input.problems, std::move(from_line_.problems));
  return input;
}

std::vector<Assignment> parse_defaults(const std::vector<std::string>& settings, const std::string& program) {
  std::vector<Assignment> defaults;
  for (const std::string& setting : settings) {
    const size_t dot = setting.find('.'), equals = setting.find('=');
    defaults.push_back({setting.substr(0, dot),
                        setting.substr(dot + 1, equals - dot - 1),
                        nlohmann::json(setting.substr(equals + 1)),
                        {Origin::Kind::default_value, program}});
  }
  return defaults;
}

ConfigInput parse_config_arguments(const std::vector<std::string>& args) {
  ConfigArguments arguments;
  for (size_t at = 0; at < args.size();) {
    const size_t taken = arguments.take(args, at);
    at += taken ? taken : arguments.refuse(args, at);
  }
  return std::move(arguments).finish();
}

}  // namespace mbt

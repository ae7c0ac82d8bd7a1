#include "core/config/command_line.h"

#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/python_value.h"
#include "core/base/strings.h"
#include "core/config/assign.h"
#include "core/config/config_file.h"
#include "core/config/shipped_configs.h"
#include "core/config/upstream_names.h"
#include "core/megatron/argument_table.h"
#include "core/megatron/bridge_fields.h"
#include "core/megatron/reference.h"

namespace mbt {

/// An argument taken apart: "--lr=3" is flag "--lr", name "lr", value "3".
struct ConfigArguments::Argument {
  std::string flag;  ///< as typed, without the value
  std::string name;  ///< without dashes, '_' for '-'
  std::optional<std::string> value;
  bool has_dashes = false;
};

ConfigArguments::Argument ConfigArguments::take_apart(const std::string& typed) {
  Argument argument;
  argument.has_dashes = typed.rfind("--", 0) == 0;
  const size_t equals = typed.find('=');
  // Hydra: "+a.b=c" and "++a.b=c" set what may not be there yet, which is no difference here.
  const size_t plus = equals == std::string::npos || typed[0] != '+' ? 0 : typed.compare(0, 2, "++") == 0 ? 2 : 1;
  argument.flag = typed.substr(plus, equals == std::string::npos ? equals : equals - plus);
  argument.name = underscored(argument.has_dashes ? argument.flag.substr(2) : argument.flag);
  if (equals != std::string::npos) argument.value = typed.substr(equals + 1);
  return argument;
}

namespace {

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

/// "-c", not "-1".
bool is_short_flag(const std::string& argument) {
  return argument.size() > 1 && argument[0] == '-' && argument[1] != '-' && argument[1] != '.' && (argument[1] < '0' || argument[1] > '9');
}

/// Whether an argument can be a value of the unknown flag before it.
bool is_value(const std::string& argument) { return is_list_item(argument) && !is_short_flag(argument); }

bool is_yaml(const std::string& file) { return file.ends_with(".yaml") || file.ends_with(".yml"); }

constexpr const char* kHowToBegin = "`mbtrain config show` prints one to begin with";

constexpr ConfigFlag kFlags[] = {
    {"--config", "FILE|NAME", "JSON file with the sections as objects, or the name of a shipped config; repeatable, the later one wins"},
    {"--mixed-precision", "RECIPE", "The recipe: a name (`mbtrain recipes` lists them) or a JSON file"},
    {"--fp16", "", "The recipe fp16_mixed when none is named; a named recipe must be of this type"},
    {"--bf16", "", "The recipe bf16_mixed when none is named; a named recipe must be of this type"},
    {"--recipes", "FILE", "File with more recipes; repeatable"},
};

const ConfigFlag* find_flag(const std::string& name) {
  for (const ConfigFlag& flag : kFlags)
    if (name == underscored(flag.name + 2)) return &flag;
  return nullptr;
}

bool is_base(const std::string& name) { return find_flag(name) && *find_flag(name)->value == '\0'; }

bool is_special(const std::string& name) { return find_flag(name) && !is_base(name); }

template <class T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

std::span<const ConfigFlag> config_flags() { return kFlags; }

ConfigArguments::ConfigArguments() : table_(defaults_) {}

/// "peft=null" and "~model.rope_scaling" of Bridge's users.
bool ConfigArguments::take_hydra(const std::string& typed, const Argument& argument) {
  const bool removes = typed.size() > 1 && typed[0] == '~' && typed[1] != '/';
  const std::string* const foreign = foreign_section(argument.name);
  const bool is_whole =
      !argument.has_dashes && argument.value && argument.name != "mixed_precision" && (foreign != nullptr || is_section(argument.name));
  const std::string where = "command line, " + shown(argument.flag);
  if (removes)
    from_line_.problems.push_back({where, "~ removes a setting in Hydra; here leave it out, or set it to null where it may be absent"});
  else if (is_whole && foreign == nullptr)
    from_line_.problems.push_back({where, "is a section; set its fields one by one: " + argument.flag + ".FIELD=VALUE"});
  else if (is_whole && !is_python_none(*argument.value))
    from_line_.problems.push_back({where, fmt::format("got {}, expected null: {}", shown(*argument.value), *foreign)});
  return removes || is_whole;  // null: what is not there is off
}

size_t ConfigArguments::take(const std::vector<std::string>& args, size_t at) {
  Argument argument = take_apart(args[at]);
  if (take_hydra(args[at], argument)) return 1;
  if (!argument.has_dashes && !argument.value) return 0;
  const size_t dot = argument.name.find('.');
  const Field* field = nullptr;
  if (dot != std::string::npos) field = table_.find(argument.name.substr(0, dot), argument.name.substr(dot + 1));
  else if (argument.has_dashes) field = table_.find_alias(argument.name);
  const bool is_recipe_override = !argument.has_dashes && argument.name == "mixed_precision";
  const bool is_switch = argument.has_dashes && !field && (is_base(argument.name) || find_switch(argument.name) != nullptr);
  if (!field && dot != std::string::npos && what_it_is_here(argument.name)) return 0;
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
    from_line_.recipe = is_null_word(value) ? kNoRecipe : std::string(unquoted(value));
    from_line_.recipe_origin = {Origin::Kind::command_line, flag};
  }
}

/// A file, or the name of a shipped config. A file of that name in the current folder comes first.
void ConfigArguments::take_config(const std::string& flag, const std::string& value) {
  std::error_code none;
  if (is_yaml(value) || value.ends_with(".toml")) {
    from_line_.problems.push_back({"command line, " + flag, fmt::format("{}: run configs are JSON, not {}; {}", shown(value),
                                                                        is_yaml(value) ? "YAML" : "TOML", kHowToBegin)});
  } else if (std::filesystem::exists(value, none) || value.ends_with(".json") || value.find('/') != value.npos) {
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

std::string ConfigArguments::why_unknown(const std::string& flag, const std::string& name,
                                         const std::vector<std::string>& other_flags) const {
  if (const char* here = what_it_is_here(name)) return std::string("unknown flag; here ") + here;
  std::vector<std::string> flags = other_flags, same_name;
  for (const ConfigFlag& special : kFlags) flags.emplace_back(special.name);
  for (const Field& field : table_.all()) {
    if (!field.alias.empty()) flags.push_back("--" + field.alias);
    if (field.info.name == name) same_name.push_back("--" + field.path());
  }
  if (!same_name.empty()) return "unknown flag; there is " + join(same_name, ", ");
  if (const MegatronArgument* a = find_megatron_argument("--" + name))
    return fmt::format("unknown flag; `mbtrain pretrain_gpt` takes this one of Megatron-LM ({})", what_becomes_of(*a));
  return "unknown flag" + (nearest(flag, flags).empty() ? "; --help lists the flags" : did_you_mean(flag, flags));
}

/// Why a word that belongs to no flag is refused.
std::string ConfigArguments::why_unexpected(const std::string& word, const std::string& name) const {
  const std::string file = fmt::format("a run config is given as --config {}", word);
  if (is_yaml(word)) return std::string("run configs are JSON, not YAML; ") + kHowToBegin;
  if (word.ends_with(".toml")) return std::string("run configs are JSON, not TOML; ") + kHowToBegin;
  if (word.ends_with(".json") || shipped_config(word)) return file;
  std::string same_name;
  for (const Field& field : table_.all())
    if (field.info.name == name) same_name += (same_name.empty() ? "; there is --" : ", --") + field.path();
  return "unexpected argument; fields are set by section.field=value or --section.field value" + same_name;
}

size_t ConfigArguments::refuse(const std::vector<std::string>& args, size_t at, const std::vector<std::string>& other_flags,
                               bool takes_positionals) {
  const Argument argument = take_apart(args[at]);
  const bool is_foreign =
      what_it_is_here(argument.name) && argument.name.find('.') != std::string::npos;  // torchtitan's section.field=value
  const bool is_flag = argument.has_dashes || is_foreign || is_short_flag(argument.flag);
  from_line_.problems.push_back({"command line, " + shown(argument.flag), is_flag ? why_unknown(argument.flag, argument.name, other_flags)
                                                                                  : why_unexpected(argument.flag, argument.name)});
  if (!is_flag || argument.value) return 1;
  const size_t most = takes_positionals ? 1 : args.size();  // a verb's own words may follow the value
  size_t values = 0;
  while (values < most && at + 1 + values < args.size() && is_value(args[at + 1 + values])) ++values;
  return 1 + values;
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

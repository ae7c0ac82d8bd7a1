// The arguments that configure a run:
//   --config FILE|NAME                     repeatable, the later wins; NAME: a shipped config, llama3.1_8b
//   --recipes FILE                         repeatable, more recipes
//   --mixed-precision NAME|FILE.json       the recipe
//   section.field=value                    as Hydra, also with + or ++ in front; section=null where the section is Megatron Bridge's alone
//   --section.field value, --section.field=value
//   --alias value, --alias=value           Megatron's names: --micro-batch-size 4
//   --no-fp8-wgrad and the like            Megatron's switches (core/config/upstream_names.h)
//   --fp16, --bf16                         the recipe fp16_mixed or bf16_mixed, unless one of that type is named
//   --data-path 0.3 a 0.7 b                lists of texts take all that follows up to the next flag
// '-' and '_' are equal in names. A boolean flag alone means true. The command line wins over the files, and its later arguments over its
// earlier ones.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/config/config_input.h"
#include "core/config/field_table.h"

namespace mbt {

/// A flag that is no field.
struct ConfigFlag {
  const char* name;   ///< "--config"
  const char* value;  ///< what stands for its value in usage; "": it takes none
  const char* doc;
};
/// All of them, for --help, completion and the man page.
std::span<const ConfigFlag> config_flags();

class ConfigArguments {
 public:
  ConfigArguments();
  ConfigArguments(const ConfigArguments&) = delete;
  ConfigArguments& operator=(const ConfigArguments&) = delete;

  /// Takes args[at], and its value when that is the next argument. Returns how many were taken; 0: not a config argument.
  /// Any name with a dot (--section.field, section.field=) is one; whether the field exists is seen when it is applied.
  size_t take(const std::vector<std::string>& args, size_t at);

  /// Notes that args[at] is known to nobody, naming the nearest flag of these and of `other_flags` (with dashes). Returns how many
  /// arguments to pass over: an unknown flag goes with the values after it, with one where `takes_positionals`.
  size_t refuse(const std::vector<std::string>& args, size_t at, const std::vector<std::string>& other_flags = {},
                bool takes_positionals = false);

  /// What was taken. Problems (a file that cannot be read, a flag without its value) are in `problems`.
  ConfigInput finish() &&;

 private:
  struct Argument;
  static Argument take_apart(const std::string& typed);
  bool take_hydra(const std::string& typed, const Argument& argument);
  std::string why_unknown(const std::string& flag, const std::string& name, const std::vector<std::string>& other_flags) const;
  std::string why_unexpected(const std::string& word, const std::string& name) const;
  void take_special(const std::string& flag, const std::string& name, const std::string& value);
  void take_config(const std::string& flag, const std::string& value);
  void take_switch(const std::string& flag, const std::string& name, const std::string& value);
  void take_field(const std::string& flag, const std::string& section, const std::string& field, const std::string& value);

  RunConfig defaults_;
  FieldTable table_;
  ConfigInput from_files_;
  ConfigInput from_line_;
};

/// `settings`, each section.field=value, as defaults of another program (ConfigInput::defaults), which `program` names.
std::vector<Assignment> parse_defaults(const std::vector<std::string>& settings, const std::string& program);

/// All of `args` are config arguments; anything else is a problem.
ConfigInput parse_config_arguments(const std::vector<std::string>& args);

}  // namespace mbt

// The arguments that configure a run:
//   --config FILE                          repeatable, the later file wins
//   --recipes FILE                         repeatable, more recipes
//   --mixed-precision NAME|FILE.json       the recipe
//   section.field=value                    as Hydra
//   --section.field value, --section.field=value
//   --alias value, --alias=value           Megatron's names: --micro-batch-size 4
// '-' and '_' are equal in names. A boolean flag alone means true. The command line wins over the files, and its later arguments over its
// earlier ones.
#pragma once

#include <string>
#include <vector>

#include "core/config/config_input.h"
#include "core/config/field_table.h"

namespace mbt {

class ConfigArguments {
 public:
  ConfigArguments();

  /// Takes args[at], and its value when that is the next argument. Returns how many were taken; 0: not a config argument.
  /// Any name with a dot (--section.field, section.field=) is one; whether the field exists is seen when it is applied.
  size_t take(const std::vector<std::string>& args, size_t at);

  /// Every flag take() knows, with its dashes, for suggestions.
  std::vector<std::string> flags() const;

  /// What was taken. Problems (a file that cannot be read, a flag without its value) are in `problems`.
  ConfigInput finish() &&;

 private:
  size_t take_value(const std::vector<std::string>& args, size_t at, const std::string& flag, std::string& value, bool is_bool);
  void assign(const std::string& flag, const std::string& section, const std::string& field, std::string value);
  void set_recipe(const std::string& flag, std::string name);

  RunConfig defaults_;
  FieldTable table_;
  ConfigInput files_;
  ConfigInput line_;
};

/// Adds the assignments of a run-config file: sections as objects; "mixed_precision" may also be a recipe's name; "$schema" is ignored.
/// A file that cannot be used adds to `input.problems`.
void read_config_file(const std::string& path, ConfigInput& input);

/// All of `args` are config arguments; anything else is a problem that names the nearest flag.
ConfigInput parse_config_arguments(const std::vector<std::string>& args);

}  // namespace mbt

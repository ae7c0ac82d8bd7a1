// What the user asked for, before recipes and defaults: the assignments of config files and command line, in the order they apply.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/problem.h"
#include "core/config/json_value.h"
#include "core/config/origin.h"

namespace mbt {

/// `section.field` gets `value`. From the command line, and in ConfigInput::defaults, the value is the text as typed (a JSON string),
/// converted by the field's type when it is applied, so that no digit is lost; from anywhere else it is a JSON value of the field's type.
struct Assignment {
  std::string section;
  std::string field;
  JsonValue value;
  Origin origin;
  bool is_text() const { return origin.kind == Origin::Kind::command_line || origin.kind == Origin::Kind::default_value; }
};

/// The recipe that mixed_precision=null (None in Python) means: none of the low precisions.
inline constexpr const char* kNoRecipe = "fp32";
/// "null", "None", "none".
bool is_null_word(std::string_view word);

/// --fp16 or --bf16: which base recipe is meant, and that a recipe which is named beside it has that type.
struct BaseChoice {
  bool is_fp16;
  Origin origin;
  const char* type() const { return is_fp16 ? "fp16" : "bf16"; }
};

/// Config files come first, in the order given, then the command line: the later assignment of a field wins.
/// At most one of `recipe` and `inline_recipe` is set: whichever came later replaced the other.
struct ConfigInput {
  std::optional<std::string> recipe;             ///< a recipe's name, or the path of a .json file
  Origin recipe_origin;                          ///< of `recipe` or of `inline_recipe`
  std::optional<JsonValue> inline_recipe;        ///< object: fields of mixed_precision, and "extends" or "name"
  std::map<std::string, Origin> inline_origins;  ///< by key of inline_recipe
  std::vector<BaseChoice> bases;                 ///< of the command line
  std::vector<std::string> recipe_files;         ///< --recipes, in order
  std::vector<Assignment> assignments;           ///< also of section mixed_precision: to be applied after the recipe
  std::vector<Assignment> defaults;              ///< of another program: they replace ours and count as not said
  std::vector<Assignment> loaded;                ///< what the checkpoint to load says: over all defaults, below what the user says
  std::vector<Problem> problems;                 ///< found while parsing: report them together with those found later
};

}  // namespace mbt

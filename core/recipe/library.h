// The recipes there are: those built into the binary (recipes.json) and those of the user's files. Recipes are data; nothing else in the
// program knows one by its name.
#pragma once

#include <string>
#include <vector>

#include "core/recipe/recipe.h"

namespace mbt {

extern const char* const embedded_recipes_json;  ///< the text of recipes.json

class RecipeLibrary {
 public:
  /// The built-in recipes, then the files of MBTRAIN_RECIPES (a ':'-list), then `files`. A file is {"recipes": {NAME: {...}, ...}} with the
  /// members of recipes.json. Throws one InputError with all problems: unreadable files, a name given twice, unknown fields or parents,
  /// wrong types, cycles; each with file, line and the nearest valid name.
  static RecipeLibrary load(const std::vector<std::string>& files = {});

  const std::vector<Recipe>& all() const { return recipes_; }
  /// By name, else by shorthand. Hyphens equal underscores. nullptr when there is none.
  const Recipe* find(std::string_view name) const;
  /// Throws InputError that names the nearest and lists all.
  const Recipe& get(std::string_view name) const;

  /// What --mixed-precision takes: a name, or the path of a .json file with one recipe, whose name is its "name" or the file's.
  Recipe get_or_read(const std::string& name_or_path) const;

  /// "mixed_precision" written as an object in a run config, at `place`: fields over the recipe that "extends" or "name" names, else over
  /// MixedPrecisionConfig's defaults, as a recipe in a file. An object with every field (a saved config) needs no parent: its name may be
  /// unknown here. Where it has no name of its own and is not equal to its parent, it is called what it is: "inline in run.json, on
  /// bf16_mixed".
  Recipe from_inline(const nlohmann::json& object, const std::map<std::string, Origin>& origins, const Origin& place,
                     std::vector<Problem>& problems) const;

 private:
  std::vector<Recipe> recipes_;
};

}  // namespace mbt

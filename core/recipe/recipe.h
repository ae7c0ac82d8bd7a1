// One mixed-precision recipe, and how its JSON object is read.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/base/problem.h"
#include "core/config/field_table.h"
#include "core/config/origin.h"

namespace mbt {

/// A recipe with everything it inherits.
struct Recipe {
  std::string name;
  std::string source;       ///< "built in", or the file
  std::string extends;      ///< the parent's name; empty: MixedPrecisionConfig's defaults
  std::string description;  ///< not inherited
  std::string note;         ///< not inherited
  std::string shorthand;    ///< a short name; not inherited
  /// "specific_to": the model, its vendor and its architecture that the recipe was made for; empty: any.
  std::string model, vendor, architecture;
  MixedPrecisionConfig config;
  Origins origins;  ///< by field, for those the recipe or an ancestor sets
};

/// NVIDIA GPUs whose tensor cores compute the products of these settings; on others operands are decoded first.
const char* native_on(const MixedPrecisionConfig& config);

/// Puts the members of JSON recipe objects into Recipes.
class RecipeReader {
 public:
  explicit RecipeReader(std::vector<Problem>& problems) : table_(scratch_), problems_(problems) {}

  /// Sets what `object` says over what `recipe` has: its fields, description, note, shorthand and specific_to; "extends" and "name" are the
  /// caller's. `where` of a key goes into problems, `origin` of a key into recipe.origins.
  void apply(const nlohmann::json& object, const std::function<std::string(const std::string& key)>& where,
             const std::function<Origin(const std::string& key)>& origin, Recipe& recipe);

 private:
  void apply_text(const std::string& key, const nlohmann::json& value, const std::string& where, std::string& text);
  void apply_specific_to(const nlohmann::json& value, const std::string& where, Recipe& recipe);
  void apply_field(const std::string& key, const nlohmann::json& value, const std::string& where);

  RunConfig scratch_;
  FieldTable table_;
  std::vector<Problem>& problems_;
};

}  // namespace mbt

#include "core/recipe/recipe.h"

#include <nlohmann/json.hpp>
#include <set>

#include "core/base/json_text.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "core/recipe/finalize.h"

namespace mbt {
namespace {

struct TextMember {
  const char* key;
  std::string Recipe::*text;
};
constexpr TextMember kTexts[] = {{"description", &Recipe::description}, {"note", &Recipe::note}, {"shorthand", &Recipe::shorthand}};
constexpr TextMember kSpecifics[] = {{"model", &Recipe::model}, {"vendor", &Recipe::vendor}, {"architecture", &Recipe::architecture}};

template <size_t N>
const TextMember* find_member(const TextMember (&members)[N], const std::string& key) {
  for (const TextMember& m : members)
    if (key == m.key) return &m;
  return nullptr;
}

std::vector<std::string> valid_keys(const FieldTable& table) {
  std::vector<std::string> keys = {"extends", "specific_to"};
  for (const TextMember& m : kTexts) keys.emplace_back(m.key);
  for (const Field& f : table.all())
    if (f.section == "mixed_precision") keys.emplace_back(f.info.name);
  return keys;
}

}  // namespace

const char* native_on(const MixedPrecisionConfig& config) {
  if (config.fp4) return "sm_100 and newer";
  if (!config.fp8) return "sm_80 and newer";
  switch (config.fp8_recipe) {
    case Fp8Recipe::delayed:
    case Fp8Recipe::tensorwise: return "sm_89 and newer";
    case Fp8Recipe::blockwise: return "sm_90; sm_100 and newer by conversion to MXFP8";
    case Fp8Recipe::mxfp8: return "sm_100 and newer";
  }
  return "";
}

void RecipeReader::apply_text(const std::string& key, const nlohmann::json& value, const std::string& where, std::string& text) {
  if (value.is_string()) text = value.get<std::string>();
  else problems_.push_back({where, shown(key) + " is " + shown(json_text(value)) + ", expected a string"});
}

void RecipeReader::apply_specific_to(const nlohmann::json& value, const std::string& where, Recipe& recipe) {
  if (!value.is_object()) {
    problems_.push_back(
        {where, "\"specific_to\" is " + shown(json_text(value)) + R"(, expected {"model": ..., "vendor": ..., "architecture": ...})"});
    return;
  }
  for (const auto& [key, member] : value.items()) {
    if (const TextMember* specific = find_member(kSpecifics, key)) apply_text(key, member, where, recipe.*specific->text);
    else problems_.push_back({where, "\"specific_to\" has no member " + shown(key) + "; it has model, vendor and architecture"});
  }
}

void RecipeReader::apply_field(const std::string& key, const nlohmann::json& value, const std::string& where) {
  Field* field = table_.find("mixed_precision", key);
  if (field == nullptr) {
    problems_.push_back({where, "a recipe has no field " + shown(key) + did_you_mean(key, valid_keys(table_))});
  } else if (const auto wrong = field->set(value)) {
    problems_.push_back({where, shown(key) + ": " + *wrong});
  }
}

void RecipeReader::apply(const nlohmann::json& object, const std::function<std::string(const std::string& key)>& where,
                         const std::function<Origin(const std::string& key)>& origin, Recipe& recipe) {
  scratch_.mixed_precision = recipe.config;
  std::set<std::string> given;
  for (const auto& [key, value] : object.items()) {
    if (key == "extends" || key == "name" || key == "native_on") continue;  // native_on: printed with a recipe, follows from its fields
    if (const TextMember* member = find_member(kTexts, key)) {
      apply_text(key, value, where(key), recipe.*member->text);
    } else if (key == "specific_to") {
      apply_specific_to(value, where(key), recipe);
    } else {
      apply_field(key, value, where(key));
      given.insert(underscored(key));
      recipe.origins[underscored(key)] = origin(key);
    }
  }
  for (const char* format : {"fp8", "fp4"}) {  // the other name of what was given
    const std::string param = std::string(format) + "_param", gather = param + "_gather";
    if (given.count(param) != 0 && given.count(gather) == 0) recipe.origins[gather] = recipe.origins[param];
    if (given.count(gather) != 0 && given.count(param) == 0) recipe.origins[param] = recipe.origins[gather];
  }
  recipe.config = scratch_.mixed_precision;
  const std::string wrong = join_param_gather(recipe.config, given);
  if (!wrong.empty()) problems_.push_back({where(wrong.substr(0, wrong.find(' '))), wrong});
}

}  // namespace mbt

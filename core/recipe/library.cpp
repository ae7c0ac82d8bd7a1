#include "core/recipe/library.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "core/config/config_json.h"
#include "core/recipe/finalize.h"

namespace mbt {
namespace {

/// A recipe as its file writes it, before inheritance.
struct Definition {
  std::string name;
  const nlohmann::json* object;
  const JsonDocument* document;
  std::string pointer;  ///< of `object` in `document`

  std::string where(const std::string& key = "") const {
    const std::string member = key.empty() ? pointer : pointer + "/" + json_pointer_member(key);
    return document->where(member) + ": recipe " + shown(name);
  }
};

/// The member as a string; nothing when it is missing. A problem when it is not a string.
std::optional<std::string> text_member(const Definition& d, const char* key, std::vector<Problem>& problems) {
  const auto member = d.object->find(key);
  if (member == d.object->end()) return std::nullopt;
  if (member->is_string()) return member->get<std::string>();
  problems.push_back({d.where(key), fmt::format("{} is {}, expected the name of a recipe", shown(key), shown(member->dump()))});
  return std::nullopt;
}

Recipe inherit(const Recipe& parent) {
  Recipe r = parent;
  r.extends = parent.name;
  r.description.clear();
  r.note.clear();
  r.shorthand.clear();
  return r;
}

/// `parent` (or nothing) with what `d` says over it.
Recipe make_recipe(const Definition& d, const Recipe* parent, RecipeReader& reader) {
  Recipe r = parent != nullptr ? inherit(*parent) : Recipe{};
  r.name = d.name;
  r.source = d.document->source;
  reader.apply(
      *d.object, [&](const std::string& key) { return d.where(key); },
      [&](const std::string&) {
        return Origin{Origin::Kind::recipe, d.name};
      },
      r);
  r.config.name = d.name;
  return r;
}

/// Reads libraries and resolves who extends whom.
class Loader {
 public:
  explicit Loader(std::vector<Problem>& problems) : problems_(problems), reader_(problems) {}

  void add(JsonDocument document) {
    documents_.push_back(std::move(document));  // a deque: the definitions point into it
    const JsonDocument& d = documents_.back();
    const auto recipes = d.root.is_object() ? d.root.find("recipes") : d.root.end();
    if (!d.root.is_object() || recipes == d.root.end() || !recipes->is_object()) {
      problems_.push_back({d.source, R"(not a recipe library; expected {"recipes": {"my_recipe": {"extends": "bf16_mixed", ...}}})"});
      return;
    }
    for (const auto& [key, unused] : d.root.items())
      if (key != "recipes" && key != "$schema")
        problems_.push_back(
            {d.where("/" + json_pointer_member(key)), "a recipe library has no member " + shown(key) + ", only \"recipes\""});
    for (const auto& [name, object] : recipes->items()) add_definition({name, &object, &d, "/recipes/" + json_pointer_member(name)});
  }

  std::vector<Recipe> resolve_all() {
    for (const Definition& d : definitions_) resolve(d);
    std::vector<Recipe> in_order;
    for (const Definition& d : definitions_)
      if (const auto made = made_.find(underscored(d.name)); made != made_.end() && made->second) in_order.push_back(*made->second);
    return in_order;
  }

 private:
  void add_definition(Definition d) {
    if (!d.object->is_object()) {
      problems_.push_back({d.where(), "expected an object of fields"});
    } else if (d.object->contains("name")) {
      problems_.push_back({d.where("name"), "in a library the key is the name; remove \"name\""});
    } else if (const Definition* other = definition(d.name)) {
      problems_.push_back({d.where(), "the name is taken by " + other->where() + "; choose another and \"extends\" it"});
    } else {
      definitions_.push_back(std::move(d));
    }
  }

  const Definition* definition(const std::string& name) const {
    for (const Definition& d : definitions_)
      if (underscored(d.name) == underscored(name)) return &d;
    return nullptr;
  }

  /// nullptr when it or an ancestor cannot be made; the problem is noted once.
  const Recipe* resolve(const Definition& d) {
    const std::string key = underscored(d.name);
    if (const auto made = made_.find(key); made != made_.end()) return made->second ? &*made->second : nullptr;
    if (const auto start = std::find(chain_.begin(), chain_.end(), d.name); start != chain_.end()) {
      const std::vector<std::string> cycle(start, chain_.end());
      problems_.push_back({d.where("extends"), "recipes extend each other in a circle: " + join(cycle, " -> ") + " -> " + d.name});
      return nullptr;
    }
    chain_.push_back(d.name);
    std::optional<Recipe> made = make(d);
    chain_.pop_back();
    std::optional<Recipe>& slot = made_[key];
    slot = std::move(made);
    return slot ? &*slot : nullptr;
  }

  std::optional<Recipe> make(const Definition& d) {
    const std::optional<std::string> extends = text_member(d, "extends", problems_);
    const Recipe* parent = nullptr;
    if (extends) {
      const Definition* p = definition(*extends);
      if (p == nullptr) {
        std::vector<std::string> names;
        for (const Definition& other : definitions_) names.push_back(other.name);
        problems_.push_back({d.where("extends"), "there is no recipe " + shown(*extends) + " to extend" + did_you_mean(*extends, names)});
        return std::nullopt;
      }
      parent = resolve(*p);
      if (parent == nullptr) return std::nullopt;
    }
    return make_recipe(d, parent, reader_);
  }

  std::vector<Problem>& problems_;
  RecipeReader reader_;
  std::deque<JsonDocument> documents_;
  std::vector<Definition> definitions_;
  std::map<std::string, std::optional<Recipe>> made_;  ///< by underscored name; nothing: could not be made
  std::vector<std::string> chain_;                     ///< names being resolved, child first
};

std::vector<std::string> names_of(const std::vector<Recipe>& recipes) {
  std::vector<std::string> names;
  for (const Recipe& r : recipes) names.push_back(r.name);
  return names;
}

std::string no_recipe(const std::string& name, const std::vector<Recipe>& recipes) {
  const std::vector<std::string> names = names_of(recipes);
  return fmt::format("there is no recipe {}{}\n  recipes: {}", shown(name), did_you_mean(name, names), join(names, "\n           "));
}

bool is_recipe_path(const std::string& name) { return name.size() > 5 && name.compare(name.size() - 5, 5, ".json") == 0; }

/// The one recipe of a file: the object itself, or the only one of a library.
Definition single_definition(const JsonDocument& document, const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  if (!document.root.is_object()) throw InputError(fmt::format("{}: expected a JSON object with the fields of a recipe", path));
  const auto recipes = document.root.find("recipes");
  if (recipes == document.root.end()) return {stem, &document.root, &document, ""};
  if (!recipes->is_object() || recipes->size() != 1)
    throw InputError(fmt::format(
        "{}: --mixed-precision takes a file with one recipe; this library holds {}: pass it with --recipes and choose one by name", path,
        recipes->size()));
  const auto only = recipes->begin();
  if (!only->is_object()) throw InputError(fmt::format("{}: recipe {}: expected an object of fields", path, shown(only.key())));
  return {only.key(), &*only, &document, "/recipes/" + json_pointer_member(only.key())};
}

/// "run.json" of "run.json:12".
std::string without_line(const std::string& place) {
  const size_t colon = place.rfind(':');
  const bool has_line = colon != place.npos && colon + 1 < place.size() && place.find_first_not_of("0123456789", colon + 1) == place.npos;
  return has_line ? place.substr(0, colon) : place;
}

/// The fields that differ, without their section; the name apart.
std::vector<std::string> differing_fields(const MixedPrecisionConfig& a, const MixedPrecisionConfig& b) {
  RunConfig x, y;
  x.mixed_precision = a, y.mixed_precision = b;
  finalize(x.mixed_precision), finalize(y.mixed_precision);
  std::vector<std::string> fields;
  for (const FieldDifference& d : difference(x, y))
    if (d.path != "mixed_precision.name") fields.push_back(d.path.substr(d.path.find('.') + 1));
  return fields;
}

/// Every field of mixed_precision is there, as in a saved config.
bool is_complete(const nlohmann::json& object) {
  RunConfig config;
  const FieldTable table(config);
  for (const Field& f : table.all())
    if (f.section == "mixed_precision" && !object.contains(f.info.name)) return false;
  return true;
}

}  // namespace

RecipeLibrary RecipeLibrary::load(const std::vector<std::string>& files) {
  std::vector<Problem> problems;
  Loader loader(problems);
  loader.add(parse_json(embedded_recipes_json, "built in"));
  std::vector<std::string> paths;
  if (const char* environment = std::getenv("MBTRAIN_RECIPES")) paths = split(environment, ':');
  paths.insert(paths.end(), files.begin(), files.end());
  for (const std::string& path : paths) {
    if (path.empty()) continue;  // "a::b", as in PATH
    try {
      loader.add(read_json_file(path));
    } catch (const InputError& e) {
      problems.push_back({"recipes", e.what()});
    }
  }
  RecipeLibrary library;
  library.recipes_ = loader.resolve_all();
  if (!problems.empty()) throw_problems(problems);
  return library;
}

const Recipe* RecipeLibrary::find(std::string_view name) const {
  const std::string key = underscored(name);
  for (const Recipe& r : recipes_)
    if (underscored(r.name) == key) return &r;
  for (const Recipe& r : recipes_)
    if (!r.shorthand.empty() && underscored(r.shorthand) == key) return &r;
  return nullptr;
}

const Recipe& RecipeLibrary::get(std::string_view name) const {
  if (const Recipe* r = find(name)) return *r;
  throw InputError(no_recipe(std::string(name), recipes_));
}

Recipe RecipeLibrary::get_or_read(const std::string& name_or_path) const {
  if (find(name_or_path) != nullptr || !is_recipe_path(name_or_path)) return get(name_or_path);
  const JsonDocument document = read_json_file(name_or_path);
  Definition d = single_definition(document, name_or_path);
  std::vector<Problem> problems;
  RecipeReader reader(problems);
  if (const auto name = text_member(d, "name", problems)) d.name = *name;
  const Recipe* parent = nullptr;
  if (const auto extends = text_member(d, "extends", problems)) {
    parent = find(*extends);
    if (parent == nullptr) problems.push_back({d.where("extends"), no_recipe(*extends, recipes_)});
  }
  Recipe recipe = make_recipe(d, parent, reader);
  if (!problems.empty()) throw_problems(problems);
  return recipe;
}

Recipe RecipeLibrary::from_inline(const nlohmann::json& object, const std::map<std::string, Origin>& origins, const Origin& place,
                                  std::vector<Problem>& problems) const {
  const auto origin = [&](const std::string& key) {
    const auto known = origins.find(key);
    return known != origins.end() ? known->second : Origin{Origin::Kind::config_file, "mixed_precision"};
  };
  const auto where = [&](const std::string& key) { return origin(key).text + ": mixed_precision"; };
  const Recipe* parent = nullptr;
  std::string own_name;
  for (const char* key : {"name", "extends"}) {
    const auto member = object.find(key);
    if (member == object.end()) continue;
    if (!member->is_string()) {
      problems.push_back({where(key), fmt::format("{} is {}, expected the name of a recipe", shown(key), shown(member->dump()))});
      continue;
    }
    const auto& word = member->get_ref<const std::string&>();
    const Recipe* named = find(word);
    const bool may_be_new = key == std::string("name") && (object.contains("extends") || is_complete(object));
    if (named != nullptr) parent = named;
    else if (may_be_new) own_name = word;
    else problems.push_back({where(key), no_recipe(word, recipes_)});
  }
  Recipe recipe = parent != nullptr ? inherit(*parent) : Recipe{};
  RecipeReader(problems).apply(object, where, origin, recipe);
  const bool is_saved = place.kind == Origin::Kind::resolved;
  if (is_saved && parent != nullptr) {  // settings of its run, or of who edited it, lie over the recipe
    recipe.name = parent->name;
    for (const std::string& field : differing_fields(recipe.config, parent->config)) recipe.origins[field].kind = Origin::Kind::config_file;
  } else if (!own_name.empty()) {
    recipe.name = own_name;
  } else if (parent == nullptr || !differing_fields(recipe.config, parent->config).empty()) {
    recipe.name =
        fmt::format("inline in {}, on {}", without_line(place.text), parent != nullptr ? parent->name : "the defaults of a recipe");
  }
  recipe.config.name = recipe.name;
  return recipe;
}

}  // namespace mbt

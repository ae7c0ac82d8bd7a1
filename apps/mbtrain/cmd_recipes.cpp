// mbtrain recipes: which there are, what one says, how two differ.
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/config/config_json.h"
#include "core/recipe/finalize.h"
#include "core/recipe/library.h"

namespace mbt {
namespace {

using Json = nlohmann::ordered_json;

std::string base_of(const MixedPrecisionConfig& c) { return c.bf16 ? "bf16" : c.fp16 ? "fp16" : "fp32"; }

std::string high_precision_layers(const MixedPrecisionConfig& c) {
  if (!c.first_last_layers_bf16) return "-";
  return fmt::format("first {}, last {}", c.num_layers_at_start_in_bf16, c.num_layers_at_end_in_bf16);
}

std::string specific_to(const Recipe& r) {
  std::string s = r.model;
  for (const std::string& part : {r.vendor, r.architecture})
    if (!part.empty()) s += (s.empty() ? "" : ", ") + part;
  return s;
}

void print_list(const RecipeLibrary& library) {
  TextTable table("llllll");
  table.add({"recipe", "base", "format", "scaling", "weights", "16-bit layers"});
  for (const Recipe& r : library.all()) {
    const MixedPrecisionConfig& c = r.config;
    const bool is_quantized = c.fp8 || c.fp4;
    table.add({r.name, base_of(c),
               c.fp8   ? name_of(*c.fp8)
               : c.fp4 ? name_of(*c.fp4)
                       : "-",
               c.fp8   ? name_of(c.fp8_recipe)
               : c.fp4 ? name_of(c.fp4_recipe)
                       : "-",
               !is_quantized                              ? "-"
               : c.fp8_param_gather || c.fp4_param_gather ? "codes"
                                                          : "16-bit",
               high_precision_layers(c)});
    table.add_line("    " + r.description);
    if (!r.note.empty()) table.add_line("    note: " + r.note);
    if (!r.model.empty()) table.add_line("    made for " + specific_to(r));
    if (r.source != "built in") table.add_line("    from " + r.source);
  }
  std::cout << table.str("")
            << "\nweights: codes = quantized weights are stored and exchanged only as codes (fp8_param_gather, fp4_param_gather)\n"
               "More: mbtrain recipes show NAME [--diff OTHER]; your own: --recipes FILE or MBTRAIN_RECIPES\n";
}

/// The fields of one recipe, by name, in their order.
Json fields_json(const MixedPrecisionConfig& c) {
  RunConfig config;
  config.mixed_precision = c;
  return to_json(config)["mixed_precision"];
}

/// As a recipe file: --mixed-precision reads it back.
Json recipe_json(const Recipe& r) {
  Json json = {{"name", r.name}};
  if (!r.extends.empty()) json["extends"] = r.extends;
  for (const auto& [key, value] : {std::pair{"description", r.description}, std::pair{"note", r.note}, std::pair{"shorthand", r.shorthand}})
    if (!value.empty()) json[key] = value;
  json["native_on"] = native_on(r.config);
  for (const auto& [key, value] : {std::pair{"model", r.model}, std::pair{"vendor", r.vendor}, std::pair{"architecture", r.architecture}})
    if (!value.empty()) json["specific_to"][key] = value;
  json.update(fields_json(r.config));
  return json;
}

void print_recipe(const Recipe& r) {
  std::cout << r.name << (r.extends.empty() ? "" : " extends " + r.extends) << " (" << r.source << ")\n";
  TextTable about("ll");
  for (const auto& [what, value] : {std::pair{"description", r.description}, std::pair{"note", r.note}, std::pair{"shorthand", r.shorthand},
                                    std::pair{"native on", std::string(native_on(r.config))}, std::pair{"made for", specific_to(r)}})
    if (!value.empty()) about.add({what, value});
  std::cout << about.str() << "\n";

  MixedPrecisionConfig plain;
  finalize(plain);
  const Json defaults = fields_json(plain), values = fields_json(r.config);
  TextTable fields("llll");
  for (const auto& [key, value] : values.items()) {
    if (key == "name") continue;
    const auto origin = r.origins.find(key);
    fields.add(
        {value != defaults[key] ? "*" : " ", key, json_text(value), origin != r.origins.end() ? "set by " + origin->second.text : ""});
  }
  std::cout << fields.str("") << "\n* differs from MixedPrecisionConfig's default\n";
}

void print_difference(const Recipe& left, const Recipe& right, bool as_json) {
  const Json a = fields_json(left.config), b = fields_json(right.config);
  Json list = Json::array();
  TextTable table("lll");
  table.add({"field", left.name, right.name});
  for (const auto& [key, value] : a.items()) {
    if (key == "name" || value == b[key]) continue;
    list.push_back({{"field", key}, {"left", value}, {"right", b[key]}});
    table.add({key, json_text(value), json_text(b[key])});
  }
  if (as_json) std::cout << json_text(list, {.indent = 2}) << "\n";
  else std::cout << (list.empty() ? "the two recipes are equal\n" : table.str(""));
}

Recipe finalized(Recipe r) {
  finalize(r.config);
  return r;
}

void add_recipe_files(VerbOptions& options, std::vector<std::string>& files) {
  options.add_option("--recipes", files, "A file with more recipes; repeatable").repeatable().called("FILE");
}

int show_recipe(const std::vector<std::string>& args) {
  VerbOptions options("Print one recipe, or how it differs from another", "mbtrain recipes show");
  std::string name, other;
  bool as_json = false;
  std::vector<std::string> files;
  options.add_option("NAME", name, "A recipe, or a .json file with one").required().called("RECIPE");
  options.add_option("--diff", other, "Print only the fields that differ from this recipe").called("RECIPE");
  options.add_flag("--json", as_json, "Print JSON that --mixed-precision reads back");
  add_recipe_files(options, files);
  options.parse(args);
  const RecipeLibrary library = RecipeLibrary::load(files);
  const Recipe recipe = finalized(library.get_or_read(name));
  if (!other.empty()) print_difference(recipe, finalized(library.get_or_read(other)), as_json);
  else if (as_json) std::cout << json_text(recipe_json(recipe), {.indent = 2}) << "\n";
  else print_recipe(recipe);
  return 0;
}

}  // namespace

int cmd_recipes(const std::vector<std::string>& args) {
  if (!args.empty() && args[0] == "show") return show_recipe({args.begin() + 1, args.end()});
  VerbOptions options("List the mixed-precision recipes; `mbtrain recipes show NAME` prints one", "mbtrain recipes");
  bool as_json = false;
  std::vector<std::string> files;
  options.add_sub_verb("show", "print one recipe, or how it differs from another");
  options.add_flag("--json", as_json, "Print JSON");
  add_recipe_files(options, files);
  options.parse(args);
  const RecipeLibrary library = RecipeLibrary::load(files);
  if (!as_json) {
    print_list(library);
    return 0;
  }
  Json list = Json::array();
  for (const Recipe& r : library.all()) list.push_back(recipe_json(finalized(r)));
  std::cout << json_text(list, {.indent = 2}) << "\n";
  return 0;
}

}  // namespace mbt

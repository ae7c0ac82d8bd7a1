#include "core/config/config_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/strings.h"
#include "core/config/assign.h"
#include "core/config/config_json.h"
#include "core/config/field_table.h"
#include "core/megatron/bridge_fields.h"

namespace mbt {
namespace {

using nlohmann::json;

/// A member of the document, "/model/lr", with what messages need.
struct Member {
  const JsonDocument& document;
  std::string pointer;
  std::string where() const { return document.where(pointer); }
  Origin origin() const { return {Origin::Kind::config_file, where()}; }
};

Member member_of(const JsonDocument& document, const std::string& pointer, const std::string& key) {
  return {document, pointer + "/" + json_pointer_member(key)};
}

void read_mixed_precision(const json& value, const Member& member, ConfigInput& input) {
  if (!value.is_string() && !value.is_object() && !value.is_null()) {
    input.problems.push_back({member.where() + ": mixed_precision",
                              fmt::format("got {}, expected a recipe's name, an object of its fields or null", value.type_name())});
    return;
  }
  input.recipe.reset();
  input.inline_recipe.reset();
  input.inline_origins.clear();
  input.recipe_origin = member.origin();
  if (!value.is_object()) {
    input.recipe = value.is_null() || is_null_word(value.get_ref<const std::string&>()) ? kNoRecipe : value.get<std::string>();
    return;
  }
  input.inline_recipe = value;
  for (const auto& [key, unused] : value.items()) input.inline_origins[key] = member_of(member.document, member.pointer, key).origin();
}

void read_section(const std::string& name, const json& section, const Member& member, ConfigInput& input) {
  const bool is_foreign = foreign_section(name) != nullptr;  // of Megatron Bridge: its fields are answered one by one
  if (is_foreign && section.is_null()) return;
  if (!is_section(name) && !is_foreign) {
    input.problems.push_back({member.where(), unknown_section(name)});
    return;
  }
  if (!section.is_object()) {
    input.problems.push_back({member.where() + ": " + name, fmt::format("got {}, expected an object of fields", section.type_name())});
    return;
  }
  std::set<std::string> seen;
  for (const auto& [key, value] : section.items()) {
    const Member field = member_of(member.document, member.pointer, key);
    if (seen.insert(underscored(key)).second) input.assignments.push_back({name, key, value, field.origin()});
    else input.problems.push_back({field.where(), shown(key) + " appears twice, once with '-' and once with '_'; keep one of them"});
  }
}

/// An older version's saved config: it has what nobody writes by hand, and no mark.
bool is_old_saved(const json& root) {
  const auto has = [&](const char* section, std::initializer_list<const char*> fields) {
    const auto found = root.find(section);
    return found != root.end() && found->is_object() &&
           std::all_of(fields.begin(), fields.end(), [&](const char* field) { return found->contains(field); });
  };
  return !root.contains(kResolvedMark) && has("mixed_precision", {"name", "params_dtype", "autocast_dtype", "hysteresis"}) &&
         has("model", {"fp16", "bf16", "params_dtype", "autocast_dtype", "fp8", "fp8_recipe"}) &&
         has("optimizer", {"fp16", "bf16", "params_dtype", "loss_scale", "hysteresis"}) && has("ddp", {"grad_reduce_in_fp32"});
}

/// A saved config has every value of its run. What was a default there, or the recipe's of the same file, nobody has written; where the
/// value was edited since, it is neither.
class ResolvedValues {
 public:
  explicit ResolvedValues(const json& root) : is_old_(is_old_saved(root)), is_saved_(is_old_ || root.contains(kResolvedMark)) {
    if (const auto recipe = root.find("mixed_precision"); recipe != root.end() && recipe->is_object()) recipe_ = *recipe;
  }

  void mark(ConfigInput& input, size_t first) const {
    if (!is_saved_) return;
    RunConfig defaults;
    const FieldTable table(defaults);
    for (size_t i = first; i < input.assignments.size(); ++i) {
      Assignment& a = input.assignments[i];
      const Field* field = table.find(a.section, a.field);
      if (!field) continue;
      if (is_old_ && field->path() == "dataset.json_key" && *a.value == json("text")) a.value = json();  // its default then
      if (*a.value == field->get() || is_recipes(*field, *a.value)) a.origin.kind = Origin::Kind::resolved;
    }
    if (recipe_.empty()) return;
    for (auto& [key, origin] : input.inline_origins) origin.kind = Origin::Kind::resolved;  // RecipeLibrary knows what is the recipe's
    input.recipe_origin.kind = Origin::Kind::resolved;
  }

 private:
  bool is_recipes(const Field& field, const json& value) const {
    const bool may_be = field.section == "model" || field.section == "optimizer" || field.section == "ddp";
    const auto found = recipe_.find(field.info.name);
    return may_be && found != recipe_.end() && *found == value;
  }

  bool is_old_, is_saved_;
  json recipe_ = json::object();
};

void read_document(const JsonDocument& document, ConfigInput& input) {
  if (!document.root.is_object()) {
    input.problems.push_back(
        {document.where(""), fmt::format("got {}, expected an object of sections: {{\"train\": {{...}}}}", document.root.type_name())});
    return;
  }
  const size_t first = input.assignments.size();
  for (const auto& [key, value] : document.root.items()) {
    if (key == "$schema" || key == kResolvedMark) continue;
    const Member member = member_of(document, "", key);
    if (underscored(key) == "mixed_precision") read_mixed_precision(value, member, input);
    else read_section(key, value, member, input);
  }
  ResolvedValues(document.root).mark(input, first);
}

}  // namespace

bool is_null_word(std::string_view word) { return word == "null" || word == "None" || word == "none"; }

void read_config_file(const std::string& path, ConfigInput& input) {
  try {
    read_document(read_json_file(path), input);
  } catch (const InputError& error) {
    input.problems.push_back({"config file", error.what()});
  }
}

void read_config_text(const std::string& text, const std::string& source, ConfigInput& input) {
  try {
    read_document(parse_json(text, source), input);
  } catch (const InputError& error) {
    input.problems.push_back({"config file", error.what()});
  }
}

}  // namespace mbt

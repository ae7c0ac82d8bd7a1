#include "core/megatron/argument_table.h"

#include <map>
#include <nlohmann/json.hpp>

#include "core/base/json_reader.h"
#include "core/base/strings.h"

namespace mbt {

extern const char* const embedded_megatron_arguments_json;  // the text of arguments.json

namespace {

using nlohmann::json;

MegatronValues values_named(const std::string& name) {
  return name == "none" ? MegatronValues::none : name == "many" ? MegatronValues::many : MegatronValues::one;
}

MegatronArgument read_row(const std::string& flag, const json& row, MegatronKind kind) {
  MegatronArgument a;
  a.flag = flag;
  a.kind = kind;
  a.also = row.value("also", std::vector<std::string>{});
  a.field = row.value("field", "");
  a.sets = row.value("sets", std::vector<std::string>{});
  a.only = row.value("only", std::vector<std::string>{});
  a.reason = row.value("reason", "");
  a.takes = row.contains("takes") ? values_named(row["takes"].get<std::string>())
            : a.sets.empty()      ? MegatronValues::one
                                  : MegatronValues::none;
  return a;
}

/// Arguments that share a reason stand together: {"reason": ..., "none": "--a --b", "one": "--c"}.
void read_group(const json& group, MegatronKind kind, std::vector<MegatronArgument>& all) {
  for (const char* takes : {"none", "one", "many"}) {
    for (const std::string& flag : split(group.value(takes, ""), ' ')) {
      if (flag.empty()) continue;
      MegatronArgument a;
      a.flag = flag;
      a.kind = kind;
      a.takes = values_named(takes);
      a.reason = group["reason"].get<std::string>();
      all.push_back(std::move(a));
    }
  }
}

std::vector<MegatronArgument> read_table() {
  const json root = parse_json(embedded_megatron_arguments_json, "arguments.json").root;
  std::vector<MegatronArgument> all;
  for (const auto& [name, kind] : {std::pair{"mapped", MegatronKind::mapped}, std::pair{"special", MegatronKind::special},
                                   std::pair{"conditional", MegatronKind::conditional}})
    for (const auto& [flag, row] : root[name].items()) all.push_back(read_row(flag, row, kind));
  for (const auto& [name, kind] : {std::pair{"without_effect", MegatronKind::without_effect}, std::pair{"refused", MegatronKind::refused}})
    for (const json& group : root[name]) read_group(group, kind, all);
  std::map<std::string, std::vector<std::string>> choices;  // arguments that have the same ones stand together
  for (const json& group : root["choices"])
    for (const std::string& flag : split(group["of"].get<std::string>(), ' ')) choices[flag] = group["are"];
  for (MegatronArgument& a : all)
    if (const auto found = choices.find(a.flag); found != choices.end()) a.choices = found->second;
  return all;
}

}  // namespace

const std::vector<MegatronArgument>& megatron_arguments() {
  static const std::vector<MegatronArgument> all = read_table();
  return all;
}

const MegatronArgument* find_megatron_argument(std::string_view flag) {
  static const std::map<std::string, const MegatronArgument*> by_name = [] {
    std::map<std::string, const MegatronArgument*> names;
    for (const MegatronArgument& a : megatron_arguments()) {
      names.emplace(underscored(a.flag), &a);
      for (const std::string& other : a.also) names.emplace(underscored(other), &a);
    }
    return names;
  }();
  const auto found = by_name.find(underscored(flag));
  return found == by_name.end() ? nullptr : found->second;
}

}  // namespace mbt

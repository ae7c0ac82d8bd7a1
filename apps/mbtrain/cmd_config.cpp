// mbtrain config: the fields, and the values that arguments give them.
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/config/config_json.h"
#include "core/config/describe.h"
#include "core/megatron/reference.h"
#include "core/train/resolve_loading.h"

namespace mbt {
namespace {

int schema(const std::vector<std::string>& args) {
  VerbOptions options("Print a JSON Schema of run configs, for editors", "mbtrain config schema");
  options.parse(args);
  std::cout << json_text(config_schema(), {.indent = 2}) << "\n";
  return 0;
}

int reference(const std::vector<std::string>& args) {
  VerbOptions options("Print all fields with their defaults and docs, as Markdown", "mbtrain config reference");
  options.parse(args);
  std::cout << config_reference();
  return 0;
}

int megatron(const std::vector<std::string>& args) {
  VerbOptions options("Print what becomes of each argument of Megatron-LM, as Markdown", "mbtrain config megatron");
  options.parse(args);
  std::cout << megatron_reference();
  return 0;
}

/// The resolved config, as a file that --config reads.
int show_config(const std::vector<std::string>& args) {
  VerbOptions options("Print the resolved run config, recipe included, as a file for --config", "mbtrain config show");
  std::cout << json_text(resolve_loading(options.parse_with_config(args)).config) << "\n";
  return 0;
}

}  // namespace

int cmd_config(const std::vector<std::string>& args) {
  constexpr SubVerb kForms[] = {
      {"schema", "JSON Schema, for editors", schema},
      {"reference", "all fields as Markdown", reference},
      {"megatron", "Megatron-LM's arguments as Markdown", megatron},
      {"show", "[ARGUMENTS]: a resolved run config as JSON", show_config},
  };
  return run_sub_verb("config", "The fields of a run config", kForms, args);
}

}  // namespace mbt

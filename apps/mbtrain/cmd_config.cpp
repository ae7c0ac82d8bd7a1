// mbtrain config: the fields, and the values that arguments give them.
#include <iostream>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "core/config/describe.h"
#include "core/config/field_table.h"
#include "core/recipe/resolve.h"

namespace mbt {
namespace {

/// The resolved config, as a file that --config reads.
int show(const std::vector<std::string>& args) {
  CLI::App app("Print the resolved run config, recipe included, as a file for --config", "mbtrain config show");
  std::cout << to_json(resolve_run(parse_config_args(app, args)).config).dump(2) << "\n";
  return 0;
}

}  // namespace

int cmd_config(const std::vector<std::string>& args) {
  if (!args.empty() && args[0] == "show") return show({args.begin() + 1, args.end()});
  CLI::App app("The fields of a run config", "mbtrain config");
  std::string what;
  app.add_option("WHAT", what, "schema: JSON Schema for editors; reference: Markdown; show [ARGUMENTS]: a run config as JSON")
      ->required()
      ->check(CLI::IsMember({"schema", "reference", "show"}));
  parse_args(app, args);
  if (what == "schema")
    std::cout << config_schema().dump(2) << "\n";
  else
    std::cout << config_reference();
  return 0;
}

}  // namespace mbt

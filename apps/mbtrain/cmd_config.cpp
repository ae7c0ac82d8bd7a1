// mbtrain config: the fields themselves.
#include <iostream>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "core/config/assign.h"
#include "core/config/describe.h"
#include "core/config/field_table.h"
#include "core/config/validate.h"

namespace mbt {
namespace {

/// The config that the arguments make, as a file that --config reads.
int show(const std::vector<std::string>& args) {
  CLI::App app("Print the run config that the arguments make, before the recipe is applied", "mbtrain config show");
  const ConfigInput input = parse_config_args(app, args);
  std::vector<Problem> problems = input.problems;
  RunConfig config;
  Origins origins;
  apply_assignments(config, input.assignments, origins, problems);
  if (problems.empty()) validate_shape(config, 1, problems);
  if (!problems.empty()) throw_problems(problems);
  std::cout << to_json(config).dump(2) << "\n";
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

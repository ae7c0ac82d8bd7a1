#include "tests/support/resolved.h"

#include "core/config/command_line.h"
#include "core/recipe/library.h"
#include "core/recipe/resolve.h"

namespace mbt::test {

RunConfig resolved(const std::vector<std::string>& args) { return resolve_run(parse_config_arguments(args)).config; }

std::vector<std::string> all_recipes() {
  const RecipeLibrary library = RecipeLibrary::load();
  std::vector<std::string> names;
  for (const Recipe& r : library.all()) names.push_back(r.name);
  return names;
}

}  // namespace mbt::test

#include "core/hf/hf_overrides.h"

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/config/architecture.h"

namespace mbt {

void compare_with_import(const RunConfig& imported, const RunConfig& config, const Origins& origins, std::vector<Problem>& problems,
                         std::vector<std::string>& notes) {
  const std::string& folder = config.model.hf_path;
  std::vector<std::string> changes;
  for (const ArchitectureDifference& d : architecture_differences(imported.model, config.model)) {
    if (d.part == ArchitecturePart::arithmetic)
      changes.push_back(fmt::format("model.{} {} -> {}", d.name, json_text(d.left), json_text(d.right)));
    if (d.part != ArchitecturePart::weights) continue;
    const auto origin = origins.find("model." + d.name);  // properties of several fields have none
    const std::string where =
        origin == origins.end() ? "model, " + d.name : fmt::format("model.{} ({})", d.name, to_string(origin->second));
    problems.push_back({where, fmt::format("got {}, expected {}, which the weights in {} have (model.hf_path): leave the setting out",
                                           json_text(d.right), json_text(d.left), folder)});
  }
  if (!changes.empty())
    notes.push_back(
        fmt::format("the weights of model.hf_path ({}) were trained to compute something else: {}. If not intended, leave it out; "
                    "`convert to-hf` may not be able to express it in config.json",
                    folder, join(changes, ", ")));
}

}  // namespace mbt

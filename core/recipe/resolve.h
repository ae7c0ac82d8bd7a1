// From what the user asked for to the config that runs.
#pragma once

#include <string>
#include <vector>

#include "core/config/assign.h"
#include "core/config/run_config.h"
#include "core/recipe/synchronize.h"

namespace mbt {

/// The recipe of a run that names none.
inline constexpr const char* kDefaultRecipe = "bf16_mixed";

struct ConfigInput;  // core/config/config_input.h

struct ResolvedRun {
  RunConfig config;
  Origins origins;
  std::vector<Overwrite> overwrites;
  std::vector<std::string> notes;  ///< to be shown: settings without effect and the like
};

/// Defaults (ours, another program's), then the loaded checkpoint's settings, then model.hf_path's architecture, then the user's
/// assignments, then the recipe with the assignments to mixed_precision over it, finalized and synchronized; then derived values and all
/// rules. `ranks` >= 1: data-parallel processes. Throws one InputError with every problem of the input.
ResolvedRun resolve_run(const ConfigInput& input, int ranks = 1);

}  // namespace mbt

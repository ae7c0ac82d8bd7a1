// --resume FOLDER, of the verbs that train or plan a run: load and save there, begin where the folder holds nothing yet.
#pragma once

#include <string>

#include "apps/mbtrain/verb_options.h"
#include "core/config/config_input.h"

namespace mbt {

/// Declares it; `folder` stays empty where it is not given.
void add_resume(VerbOptions& options, std::string& folder);

/// Makes `folder` checkpoint.save and checkpoint.load. It wins over what config files say about them, as the command line does; a config
/// that a run has saved names the folders and the finetuning with which that run began. Throws InputError for what cannot be meant: another
/// folder or finetuning on the command line, or a file whose checkpoint.load the run would need, since nothing is in `folder` yet.
void apply_resume(const std::string& folder, ConfigInput& input);

}  // namespace mbt

// The config of a run that begins with a checkpoint: architecture and tokenizer are the checkpoint's where the user says nothing.
#pragma once

#include "core/config/config_input.h"
#include "core/recipe/resolve.h"

namespace mbt {

/// resolve_run(), with what the checkpoint of checkpoint.load says laid over the defaults and under what the user says: the architecture,
/// the sequence length, the tokenizer that it carries, the chat template and the end of a document. The other settings of the checkpoint
/// do not count. Without checkpoint.load, or where the first start of a run is to fill that folder, it is resolve_run().
/// Throws InputError for a folder without a checkpoint, a checkpoint whose config cannot be read, a setting with which the weights do not
/// fit, and a tokenizer with other tokens than the checkpoint's. Settings with which the weights compute something else become a note.
ResolvedRun resolve_loading(ConfigInput input, int ranks = 1);

}  // namespace mbt

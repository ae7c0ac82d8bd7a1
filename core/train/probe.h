// `mbtrain probe`: runs one forward and backward, then optimizer steps, on batches from a file, and writes every number. Users compare a
// model with the same model in another program this way.
#pragma once

#include <cstdint>
#include <string>

#include "core/backend/backend.h"
#include "core/config/run_config.h"
#include "core/recipe/policy.h"

namespace mbt {

/// Tokens of the sequences in `batch_file`, from its header alone. InputError when it is none of a probe.
int64_t probe_sequence(const std::string& batch_file);

/// batch_file: input_ids, labels i32 [S,B,T] (shifted already; -100: no loss there) and loss_mask f32 [S,B,T]; each of the S batches is one
/// micro-batch. out_file: loss [1], logits [B,T,V], grad.<HF name> of batch 0 (unclipped, of the mean loss over the mask); losses [N],
/// grad_norms [N] (before clipping), after.<HF name>: weights after N optimizer steps over batches 0..N-1. All f32. config: resolved, with
/// model.hf_path. Throws InputError for a batch that does not fit the model or is shorter than `steps`.
void run_probe(Backend& backend, RunConfig config, const PrecisionPolicy& policy, const std::string& batch_file,
               const std::string& out_file, int64_t steps);

}  // namespace mbt

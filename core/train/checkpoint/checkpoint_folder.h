// The folder of a run: its checkpoints iter_0000100/, the tracker file latest_checkpointed_iteration.txt, and what a killed run has left
// behind. A checkpoint appears under its name in one step, when it is complete; the tracker is written after it.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/config/checkpoint_config.h"

namespace mbt {

/// "iter_0000100".
std::string iteration_name(int64_t iteration);
/// The iteration in the name of a checkpoint's folder; -1: it is none.
int64_t iteration_of(const std::string& checkpoint);

/// Creates the folder and removes unfinished checkpoints of killed runs. Throws InputError, before any training, when it cannot be written.
void check_save_folder(const std::string& folder);

/// Whether the run continues the one that has filled checkpoint.save: checkpoint.load is the same folder, or a checkpoint in it, and this
/// is no finetuning.
bool continues_in_save_folder(const CheckpointConfig& config);
/// Throws InputError when checkpoint.save holds checkpoints and the run does not continue them, or is itself a checkpoint: a run never
/// replaces or deletes what another one has written. Writes nothing.
void refuse_filled_folder(const CheckpointConfig& config);

/// Whether the folder exists and holds a checkpoint, complete or not, or a tracker.
bool holds_checkpoints(const std::string& folder);
/// Iterations of all checkpoints in the folder, complete or not, ascending; none where there is no folder.
std::vector<int64_t> checkpoints_in(const std::string& folder);

/// Both name one folder, which need not be there.
bool is_same_folder(const std::string& a, const std::string& b);

struct FoundCheckpoint {
  std::string path;
  std::string note;  ///< why it differs from the checkpoint that the tracker names; empty: it does not
};

/// Finds the checkpoint of iteration `step` in `folder`, or the newest complete one. The tracker normally names the newest, but a run that
/// was killed before it wrote the tracker leaves a newer one. `folder` may also be a checkpoint itself. Returns nullopt for an existing
/// folder without a checkpoint. Throws InputError when there is no such folder or step, or the tracker holds no number.
std::optional<FoundCheckpoint> find_checkpoint(const std::string& folder, std::optional<int64_t> step);

/// The checkpoint that a run begins with: find_checkpoint() of checkpoint.load. nullopt: it loads none, or its first start makes the
/// folder, which is checkpoint.save too. Throws InputError where there should be one.
std::optional<FoundCheckpoint> find_start(const CheckpointConfig& config);

/// "; the complete checkpoint of iteration 50 can be loaded with --ckpt-step 50": the newest beside `checkpoint` in its folder; empty:
/// there is none.
std::string other_checkpoint_hint(const std::string& checkpoint);

/// Higher than that of every complete checkpoint in the folder.
int64_t next_save_number(const std::string& folder);
/// Gives the complete folder `temporary`, in the same folder, its name iter_N, then writes the tracker. Returns the new path. One
/// that has this name goes if it may be replaced, as that of a run that was wound back; else throws InputError.
std::string publish_checkpoint(const std::string& temporary, int64_t iteration, bool may_replace = false);
/// keep > 0: removes all but `keep` of this run's `own` checkpoints, first those beyond `current` (of a run that was wound back), then the
/// oldest.
void remove_old_checkpoints(const std::string& folder, int64_t current, int64_t keep, const std::set<int64_t>& own);
/// The name for a folder that is being written.
std::string temporary_name(int64_t iteration, const std::string& token);

}  // namespace mbt

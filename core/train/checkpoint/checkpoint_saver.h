// Saving a checkpoint by all ranks, at once or beside training: every rank writes its files into a temporary folder; when all are on the
// disk the first rank adds metadata.json, gives the folder its name and writes the tracker.
#pragma once

#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/comm/world.h"
#include "core/train/checkpoint/checkpoint.h"
#include "core/train/checkpoint/checkpoint_writer.h"

namespace mbt {

/// Every rank calls start() and finish() alike. A failure on one rank is thrown on all: an AgreedError (one rank: InputError) with file and
/// reason; what was half written is removed then, and the checkpoint before stays. Replaces and removes only checkpoints that this run has
/// written, or that were there when it began and the run continues them.
class CheckpointSaver {
 public:
  /// All must outlive it. config: its checkpoint section says where to and what.
  CheckpointSaver(World& world, Backend& backend, Weights& weights, const RunConfig& config);
  CheckpointSaver(const CheckpointSaver&) = delete;
  CheckpointSaver& operator=(const CheckpointSaver&) = delete;
  /// Waits for this rank's thread. What was not finished stays under its temporary name until check_save_folder().
  ~CheckpointSaver() = default;

  /// Files, name and content, that every checkpoint gets; on the first rank.
  void carry(std::vector<std::pair<std::string, std::string>> files) { carried_ = std::move(files); }

  /// The folder that the checkpoint of an iteration gets.
  std::string path_of(int64_t iteration) const;
  /// None may be pending. checkpoint.async_save: copies this rank's tensors into host memory and writes them on a thread; weights may
  /// change when it returns. Otherwise finish() writes, and must follow before they change.
  void start(const TrainState& state, const LossScaler& scaler);
  bool is_pending() const { return pending_.has_value(); }
  /// Returns whether this rank has finished writing, successfully or not.
  bool has_written() const;

  struct Saved {
    std::string path;
    int64_t iteration;
  };
  /// Completes the pending save, waiting for it.
  Saved finish();

 private:
  struct Pending {
    int64_t iteration;
    std::string folder;                              // temporary
    std::future<std::vector<CheckpointFile>> files;  // of this rank
  };

  std::string make_folder(int64_t iteration);
  std::string complete(const Pending& pending, const std::vector<std::string>& files_of_ranks);
  void remove_folder(const std::string& folder) const;

  World& world_;
  Backend& backend_;
  Weights& weights_;
  const RunConfig& config_;
  std::vector<std::pair<std::string, std::string>> carried_;
  std::set<int64_t> own_;  // on the first rank: iterations whose checkpoints may be replaced and removed
  std::optional<Pending> pending_;
};

}  // namespace mbt

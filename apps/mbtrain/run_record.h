// run.json in the folder of a run: which program ran where, on what, with which settings, from when to when, and how it ended. README,
// "The folder of a run", describes the file.
#pragma once

#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/mbtrain/run_end.h"
#include "core/backend/backend.h"
#include "core/comm/world.h"
#include "core/config/config_input.h"
#include "core/recipe/resolve.h"

namespace mbt {

/// Where each rank runs, and on what: one JSON object a rank, in their order, on every rank. Every rank calls it.
std::vector<std::string> devices_of_ranks(World& world, const Backend& backend);

/// What the user set, by "section.field" (the recipe: "mixed_precision"): the value as given, where it came from, and what was resolved.
nlohmann::ordered_json user_settings(const ConfigInput& input, const ResolvedRun& run);

/// Of the first rank, from the beginning of its run to the end. Also written when the run fails or a signal ends it.
class RunRecord {
 public:
  /// Writes FOLDER/run.json. What earlier runs in the folder have left there is kept in its list `earlier`. WriteError, InputError: it
  /// cannot be written.
  RunRecord(const std::string& folder, const ConfigInput& input, const ResolvedRun& run, const std::vector<std::string>& devices);
  RunRecord(const RunRecord&) = delete;
  RunRecord& operator=(const RunRecord&) = delete;

  /// "2026-12-01T15:37:34Z".
  const std::string& started() const { return started_; }
  /// Of several calls, also of other ranks' (complete_record_of_first_rank), the first counts. Thread safe. A file that cannot be written
  /// is a warning: the run itself is over.
  void complete(int exit_code, const std::string& ended_by) noexcept;

 private:
  std::string path_, started_;
  TextWithHole text_;
  ino_t inode_ = 0;  // of what the constructor wrote
  std::mutex mutex_;
  bool is_complete_ = false;
  std::optional<SignalEnd> signals_;
};

/// For a rank other than the first that ends the run: completes the record where it sees the file, and where nobody has.
void complete_record_of_first_rank(const std::string& folder, int exit_code, const std::string& ended_by) noexcept;

}  // namespace mbt

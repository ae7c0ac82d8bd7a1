// What a training run leaves in its folder beside checkpoints and metrics: run.json (run_record.h) and console.log (console_log.h).
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "apps/mbtrain/console_log.h"
#include "apps/mbtrain/run_record.h"

namespace mbt {

/// On the first rank. Lines are kept from the constructor on, files are written from begin() on, so that a refused run leaves none.
class RunFiles {
 public:
  RunFiles(World& world, const std::string& folder) : world_(world), folder_(folder) {}
  RunFiles(const RunFiles&) = delete;
  RunFiles& operator=(const RunFiles&) = delete;
  ~RunFiles() { world_.set_on_abort({}); }

  /// Throws InputError or WriteError when a file cannot be written.
  void begin(const ConfigInput& input, const ResolvedRun& run, const std::vector<std::string>& devices);
  void end(int exit_code, const std::string& ended_by);
  void fail(const std::exception& error);

 private:
  World& world_;
  std::string folder_;
  ConsoleLog log_;
  std::optional<RunRecord> record_;
};

/// Before `error` leaves the run. files: nullptr on all ranks but the first. The first rank knows of an AgreedError; any other error ends
/// the run, and the rank that has it is the one that can say so.
void record_failure(const World& world, const std::exception& error, const std::string& folder, RunFiles* files);

}  // namespace mbt

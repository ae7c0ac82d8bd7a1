#include "apps/mbtrain/run_files.h"

#include <filesystem>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/program.h"
#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {

void RunFiles::begin(const ConfigInput& input, const ResolvedRun& run, const std::vector<std::string>& devices) {
  record_.emplace(folder_, input, run, devices);
  world_.set_on_abort([this](int code) { record_->complete(code, "another rank ended"); });
  log_.open((std::filesystem::path(folder_) / "console.log").string(),
            fmt::format("==== {} {}: {}", record_->started(), program_text(), join(command_line(), " ")));
}

void RunFiles::end(int exit_code, const std::string& ended_by) {
  if (record_) record_->complete(exit_code, ended_by);
}

void RunFiles::fail(const std::exception& error) {
  const std::string line = error_line(error);
  ConsoleLog::add(line);
  end(exit_code_of(error), line.substr(0, line.size() - 1));
}

void record_failure(const World& world, const std::exception& error, const std::string& folder, RunFiles* files) {
  if (files != nullptr) return files->fail(error);
  if (world.is_first() || folder.empty() || dynamic_cast<const AgreedError*>(&error) != nullptr) return;
  complete_record_of_first_rank(folder, exit_code_of(error), fmt::format("{}: {}", world.place().str(), error.what()));
}

}  // namespace mbt

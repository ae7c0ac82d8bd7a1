// Runs the mbtrain binary as a user does.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mbt::test {

struct RunResult {
  int exit_code = 0;       ///< 128 + signal when one ended it
  bool timed_out = false;  ///< killed after the limit
  std::string out;
  std::string err;
};

/// In `folder`, where its output is kept meanwhile; nothing to read on stdin.
RunResult run_binary(const std::vector<std::string>& args, const std::filesystem::path& folder, double limit_seconds = 60);

}  // namespace mbt::test

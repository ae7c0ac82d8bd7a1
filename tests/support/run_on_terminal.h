// Runs the mbtrain binary on a terminal of its own, as a person would see it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace mbt::test {

struct TerminalRun {
  int exit_code = 0;  ///< 128 + signal when one ended it
  std::string text;   ///< stdout and stderr, as they came; line ends are \r\n
};

struct TerminalSettings {
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< beside TERM=xterm, which it may replace
  /// Gets the text so far whenever some has come; what it returns is typed.
  std::function<std::string(const std::string& text)> type = [](const std::string&) { return std::string(); };
};

/// In `folder`; ended by force after `limit_seconds`.
TerminalRun run_on_terminal(const std::vector<std::string>& args, const std::filesystem::path& folder,
                            const TerminalSettings& settings = {}, double limit_seconds = 60);

}  // namespace mbt::test

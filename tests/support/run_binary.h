// Runs the mbtrain binary as a user does.
#pragma once

#include <sys/types.h>

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

/// As run_binary, for any program: words[0] is looked up in PATH.
RunResult run_words(const std::vector<std::string>& words, const std::filesystem::path& folder, double limit_seconds = 60);

/// Starts it and returns at once: its output goes to stdout.txt and stderr.txt in `folder`. Whoever starts it waits for it.
pid_t start_words(const std::vector<std::string>& words, const std::filesystem::path& folder);

/// Of a tiny run that saves to `run` after every step, keeps the newest `keep` checkpoints and continues from them.
std::vector<std::string> saving_args(const std::string& run, int keep, bool async);

/// The processes of the binary that run in `folder`.
std::vector<pid_t> processes_in(const std::filesystem::path& folder);

/// The losses of the iteration lines, as printed.
std::vector<std::string> losses(const std::string& out);

/// `mpirun -np ranks` of the binary, with more ranks than cores if need be.
RunResult run_ranks(int ranks, const std::vector<std::string>& args, const std::filesystem::path& folder, double limit_seconds = 120);
/// The words in front of the binary in that command.
std::vector<std::string> mpirun_words(int ranks);
/// Whether several ranks can be started here; else the reason is printed.
bool has_mpirun();

}  // namespace mbt::test

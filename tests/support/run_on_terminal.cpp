#include "tests/support/run_on_terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace mbt::test {
namespace {

/// In the child: leads a session whose terminal is `name`.
[[noreturn]] void become_program_on(const char* name, std::vector<char*>& argv, const std::filesystem::path& folder,
                                    const TerminalSettings& settings) {
  ::setsid();
  const int terminal = ::open(name, O_RDWR);
  ::setenv("TERM", "xterm", 1);
  ::unsetenv("NO_COLOR");
  for (const auto& [variable, value] : settings.environment) ::setenv(variable.c_str(), value.c_str(), 1);
  const bool is_ready = ::chdir(folder.c_str()) == 0 && ::dup2(terminal, 0) == 0 && ::dup2(terminal, 1) == 1 && ::dup2(terminal, 2) == 2;
  if (is_ready) ::execv(argv[0], argv.data());
  ::_exit(127);
}

}  // namespace

TerminalRun run_on_terminal(const std::vector<std::string>& args, const std::filesystem::path& folder, const TerminalSettings& settings,
                            double limit_seconds) {
  std::vector<std::string> words = {MBT_BINARY};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) throw std::runtime_error("no terminal can be made here");
  const std::string name = ::ptsname(master);
  const int keeps_it_open = ::open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);  // else a read before the child opens it is its end
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) become_program_on(name.c_str(), argv, folder, settings);

  TerminalRun run;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(limit_seconds);
  int status = 0;
  bool has_ended = false;
  while (true) {
    pollfd wait{master, POLLIN, 0};
    if (::poll(&wait, 1, 20) > 0) {
      char buffer[4096];
      const ssize_t n = ::read(master, buffer, sizeof buffer);
      if (n > 0) {
        run.text.append(buffer, static_cast<size_t>(n));
        const std::string typed = settings.type(run.text);
        if (!typed.empty() && ::write(master, typed.data(), typed.size()) < 0) throw std::runtime_error("cannot type");
        continue;  // all that is there is read before the end is looked for
      }
    }
    if (has_ended) break;
    has_ended = ::waitpid(child, &status, WNOHANG) == child;
    if (!has_ended && std::chrono::steady_clock::now() > deadline) ::kill(child, SIGKILL);
  }
  ::close(keeps_it_open);
  ::close(master);
  run.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return run;
}

}  // namespace mbt::test

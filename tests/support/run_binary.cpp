#include "tests/support/run_binary.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace mbt::test {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// In the child: becomes the binary, or ends with 127.
[[noreturn]] void become_binary(std::vector<char*>& argv, const fs::path& folder, const fs::path& out, const fs::path& err) {
  const int in_file = open("/dev/null", O_RDONLY), out_file = creat(out.c_str(), 0600), err_file = creat(err.c_str(), 0600);
  const bool is_ready = chdir(folder.c_str()) == 0 && dup2(in_file, 0) == 0 && dup2(out_file, 1) == 1 && dup2(err_file, 2) == 2;
  if (is_ready) execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

RunResult run_binary(const std::vector<std::string>& args, const fs::path& folder, double limit_seconds) {
  const fs::path out = folder / "stdout.txt", err = folder / "stderr.txt";
  std::vector<std::string> words = {MBT_BINARY};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) become_binary(argv, folder, out, err);

  RunResult result;
  int status = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(limit_seconds);
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (!result.timed_out && std::chrono::steady_clock::now() > deadline) {
      result.timed_out = true;
      kill(child, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  result.out = content(out);
  result.err = content(err);
  return result;
}

}  // namespace mbt::test

#include "tests/support/run_binary.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "core/base/strings.h"

namespace mbt::test {
namespace {

namespace fs = std::filesystem;

std::string written_to(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

fs::path out_file_in(const fs::path& folder) { return folder / "stdout.txt"; }
fs::path err_file_in(const fs::path& folder) { return folder / "stderr.txt"; }

/// In the child: becomes the program, or ends with 127.
[[noreturn]] void become_program(std::vector<char*>& argv, const fs::path& folder, const fs::path& out, const fs::path& err) {
  const int in_file = open("/dev/null", O_RDONLY), out_file = creat(out.c_str(), 0600), err_file = creat(err.c_str(), 0600);
  const bool is_ready = chdir(folder.c_str()) == 0 && dup2(in_file, 0) == 0 && dup2(out_file, 1) == 1 && dup2(err_file, 2) == 2;
  if (is_ready) execvp(argv[0], argv.data());
  _exit(127);
}

}  // namespace

RunResult run_binary(const std::vector<std::string>& args, const fs::path& folder, double limit_seconds) {
  std::vector<std::string> words = {MBT_BINARY};
  words.insert(words.end(), args.begin(), args.end());
  return run_words(words, folder, limit_seconds);
}

pid_t start_words(const std::vector<std::string>& given, const fs::path& folder) {
  const fs::path out = out_file_in(folder), err = err_file_in(folder);
  for (const fs::path& file : {out, err}) std::ofstream{file};  // there when this returns, for whoever looks at once
  std::vector<std::string> words = given;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) become_program(argv, folder, out, err);
  return child;
}

RunResult run_words(const std::vector<std::string>& words, const fs::path& folder, double limit_seconds) {
  const pid_t child = start_words(words, folder);
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
  result.out = written_to(out_file_in(folder));
  result.err = written_to(err_file_in(folder));
  return result;
}

std::vector<std::string> saving_args(const std::string& run, int keep, bool async) {
  const std::string size = "--model.num_layers 1 --model.hidden_size 64 --model.seq_length 16 --eval-iters 0 --save-interval 1";
  std::vector<std::string> args = split(size, ' ');
  args.insert(args.end(), {"--checkpoint.save", run, "--checkpoint.load", run, "--checkpoint.most_recent_k", std::to_string(keep),
                           "--checkpoint.async_save", async ? "true" : "false"});
  return args;
}

std::vector<pid_t> processes_in(const fs::path& folder) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const fs::directory_entry& e : fs::directory_iterator("/proc", error)) {
    const std::string name = e.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const bool is_here = fs::read_symlink(e.path() / "cwd", error) == fs::canonical(folder);
    if (is_here && fs::read_symlink(e.path() / "exe", error) == fs::canonical(MBT_BINARY)) found.push_back(std::stoi(name));
  }
  return found;
}

std::vector<std::string> losses(const std::string& out) {
  static const std::regex line(R"( iteration\s+\d+/\s*\d+ \| .*lm loss: (\S+) \|)");
  std::vector<std::string> all;
  for (std::sregex_iterator it(out.begin(), out.end(), line), end; it != end; ++it) all.push_back((*it)[1]);
  return all;
}

std::vector<std::string> mpirun_words(int ranks) {
  // As root only where the tests run as root; --oversubscribe: the machine may have fewer cores than a test wants ranks.
  std::vector<std::string> words = {"mpirun"};
  if (geteuid() == 0) words.emplace_back("--allow-run-as-root");
  for (const std::string& word : {std::string("--oversubscribe"), std::string("-np"), std::to_string(ranks)}) words.push_back(word);
  return words;
}

RunResult run_ranks(int ranks, const std::vector<std::string>& args, const fs::path& folder, double limit_seconds) {
  std::vector<std::string> words = mpirun_words(ranks);
  words.emplace_back(MBT_BINARY);
  words.insert(words.end(), args.begin(), args.end());
  return run_words(words, folder, limit_seconds);
}

bool has_mpirun() {
  static const bool is_there = std::system("mpirun --version > /dev/null 2>&1") == 0;
  if (!is_there) std::fprintf(stderr, "no mpirun: nothing was tested (scripts/setup.sh --tests installs Open MPI)\n");
  return is_there;
}

}  // namespace mbt::test

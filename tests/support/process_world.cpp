#include "tests/support/process_world.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "tests/support/board_world.h"

namespace mbt::test {
namespace {

/// What the parent and all ranks see.
struct Shared {
  explicit Shared(int ranks) : world(ranks), beside(ranks), texts(ranks) {}
  void leave(int rank) { world.leave(rank), beside.leave(rank); }
  Boards world, beside;
  Board texts;  // a rank's box holds what it threw
};

void write_text(char* box, const char* text) { std::strncpy(box, text, Board::kBox - 1); }

[[noreturn]] void run_rank(Shared& shared, int rank, const ProcessJob& job) {
  int code = 0;
  {
    BoardWorld world(shared.world, rank), beside(shared.beside, rank);
    try {
      job(world, beside);
    } catch (const std::exception& e) {
      write_text(shared.texts.box(rank), e.what());
      code = 1;
    }
    shared.leave(rank);
  }
  std::fflush(nullptr);
  _exit(code);  // no destructors of what belongs to the parent
}

std::string ending_of(int status, const char* thrown) {
  if (WIFSIGNALED(status)) return fmt::format("ended by signal {}", WTERMSIG(status));
  if (WEXITSTATUS(status) == 0) return "";
  return *thrown != '\0' ? thrown : fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

}  // namespace

std::vector<std::string> run_processes(int ranks, const ProcessJob& job, int seconds) {
  using Clock = std::chrono::steady_clock;
  Shared shared(ranks);
  std::vector<std::string> endings(static_cast<size_t>(ranks));
  std::vector<pid_t> running;
  std::fflush(nullptr);  // or each rank writes it again
  for (int r = 0; r < ranks; ++r) {
    const pid_t pid = fork();
    if (pid == 0) run_rank(shared, r, job);
    if (pid < 0) throw Error("fork: no process for a rank");
    running.push_back(pid);
  }
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(seconds);
  for (int left = ranks; left > 0; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    const bool is_late = Clock::now() > deadline;
    for (int r = 0; r < ranks; ++r) {
      pid_t& pid = running[static_cast<size_t>(r)];
      int status = 0;
      if (pid == 0) continue;
      if (is_late) kill(pid, SIGKILL);
      if (waitpid(pid, &status, is_late ? 0 : WNOHANG) != pid) continue;
      shared.leave(r);
      pid = 0, --left;
      endings[static_cast<size_t>(r)] = is_late ? fmt::format("still ran after {} s", seconds) : ending_of(status, shared.texts.box(r));
    }
  }
  return endings;
}

}  // namespace mbt::test

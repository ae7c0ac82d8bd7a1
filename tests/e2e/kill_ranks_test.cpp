// kill -9 of a random rank at random moments, saves under way included: the run goes on from a complete checkpoint every time, and ends in
// the state of a run that nobody killed.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "core/base/philox.h"
#include "core/train/checkpoint/checkpoint_folder.h"
#include "core/train/verify_resume.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::kill_ranks_test {

namespace fs = std::filesystem;

namespace {

constexpr int kKills = 50, kRanks = 2;
constexpr int64_t kIterations = 120;

std::vector<std::string> command(const std::string& run, bool async) {
  std::vector<std::string> words = mpirun_words(kRanks);
  words.insert(words.end(), {MBT_BINARY, "--mixed-precision", "bf16_with_fp8_delayed_scaling_mixed", "--use-distributed-optimizer",
                             "--global-batch-size", "4", "--micro-batch-size", "1", "--train-iters", std::to_string(kIterations)});
  const std::vector<std::string> args = saving_args(run, 2, async);
  words.insert(words.end(), args.begin(), args.end());
  return words;
}

/// All ranks are gone, ten seconds later at most.
bool all_end(const fs::path& folder) {
  for (int i = 0; i < 500 && !processes_in(folder).empty(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return processes_in(folder).empty();
}

/// Kills one of the ranks that will have run for `delay` since all were there. Returns whether there was one left to kill.
bool kill_one(const fs::path& folder, std::chrono::milliseconds delay, uint32_t which) {
  for (int i = 0; i < 500 && processes_in(folder).size() < kRanks; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::this_thread::sleep_for(delay);
  const std::vector<pid_t> ranks = processes_in(folder);
  return !ranks.empty() && kill(ranks[which % ranks.size()], SIGKILL) == 0;
}

}  // namespace

TEST_CASE("kill -9 of a random rank, 50 times") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  const fs::path place = folder.path();
  const std::string whole = folder.path("whole");
  fs::create_directory(whole);
  REQUIRE(run_words(command(whole, false), folder.path()).exit_code == 0);
  const std::string expected = state_hash(find_checkpoint(whole, std::nullopt)->path);

  int kills = 0, finished = 0;
  for (uint32_t attempt = 0; kills < kKills || finished == 0; ++attempt) {
    REQUIRE(attempt < 40 * kKills);
    const std::string run = folder.path("run" + std::to_string(finished));
    fs::create_directories(run);
    bool is_killed = false, have_ended = true;
    const bool kills_it = kills < kKills;  // at the end one is let through
    std::thread killer([&] {
      const auto random = philox(23, 0, attempt);
      if (!kills_it) return;
      is_killed = kill_one(place, std::chrono::milliseconds(random[0] % 700), random[1]);
      have_ended = !is_killed || all_end(place);
    });
    // Open MPI's mpirun itself may not end when a rank dies in the very moment in which it connects to it: its ranks do.
    const RunResult r = run_words(command(run, attempt % 2 == 1), folder.path(), kills_it ? 30 : 120);
    killer.join();
    INFO("attempt " << attempt << ", " << kills << " kills\n" << r.out << r.err);
    REQUIRE(have_ended);
    REQUIRE((!r.timed_out || is_killed));
    if (r.exit_code != 0) {
      REQUIRE(is_killed);
      ++kills;
      if (const auto found = find_checkpoint(run, std::nullopt)) CHECK_NOTHROW(state_hash(found->path));
      continue;
    }
    CHECK(state_hash(find_checkpoint(run, std::nullopt)->path) == expected);
    ++finished;
  }
  WARN(kills << " kills, " << finished << " runs reached the end");
}

}  // namespace mbt::test::kill_ranks_test

// kill -9 at any moment, a save under way included: the next start continues from a complete checkpoint.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "core/base/philox.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::kill_test {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> endless(const std::string& run, bool async) {
  std::vector<std::string> words = {MBT_BINARY, "--train-iters", "100000"};
  const std::vector<std::string> args = saving_args(run, 3, async);
  words.insert(words.end(), args.begin(), args.end());
  return words;
}

}  // namespace

TEST_CASE("kill -9 at random moments of a run that saves after every step") {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  fs::create_directory(run);
  int64_t reached = -1;
  for (uint32_t i = 0; i < 12; ++i) {
    const pid_t child = start_words(endless(run, i % 2 == 1), folder.path());
    REQUIRE(child > 0);
    const std::string tracker = run + "/latest_checkpointed_iteration.txt";
    for (int k = 0; k < 1200; ++k) {  // until it has saved something new
      if (fs::exists(tracker) && std::stoll(content(tracker)) > reached) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(philox(17, 0, i)[0] % 60'000));
    kill(child, SIGKILL);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    const std::optional<FoundCheckpoint> found = find_checkpoint(run, std::nullopt);
    REQUIRE(found);
    CHECK(iteration_of(found->path) > reached);
    reached = iteration_of(found->path);
    CHECK_NOTHROW(tensors_of(found->path));  // compares every file with its hash
  }
  std::vector<std::string> last = endless(run, false);
  last[2] = std::to_string(reached + 2);
  const RunResult result = run_words(last, folder.path());
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.out, ContainsSubstring("successfully saved checkpoint from iteration " +
                                           std::string(7 - std::to_string(reached + 2).size(), ' ') + std::to_string(reached + 2)));
  for (const std::string& name : names_in(run)) CHECK(name.rfind(".tmp-", 0) != 0);
  CHECK(names_in(run).size() == 3 + 4);  // most_recent_k; the tracker, the metrics, run.json and console.log
}

}  // namespace mbt::test::kill_test

// The folder of a run is safe from other runs, and --resume finds its way alone.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::run_folder_test {

namespace {

namespace fs = std::filesystem;

RunResult run(const TemporaryFolder& folder, const std::string& iterations, std::vector<std::string> more) {
  std::vector<std::string> args = {"--num-layers", "1",  "--hidden-size",      "32",      "--num-attention-heads", "2",
                                   "--seq-length", "16", "--micro-batch-size", "2",       "--global-batch-size",   "4",
                                   "--eval-iters", "0",  "--train-iters",      iterations};
  args.insert(args.end(), more.begin(), more.end());
  return run_binary(args, folder.path());
}

/// Each file with its content.
std::string content_of(const std::string& folder) {
  std::vector<std::string> files;
  for (const fs::directory_entry& e : fs::recursive_directory_iterator(folder))
    if (e.is_regular_file()) files.push_back(e.path().string() + "\n" + read_text_file(e.path().string()));
  std::sort(files.begin(), files.end());
  std::string all;
  for (const std::string& f : files) all += f;
  return all;
}

}  // namespace

TEST_CASE("a run that does not continue the checkpoints of its folder is refused before anything is written") {
  const TemporaryFolder folder;
  REQUIRE(run(folder, "4", {"--save", "a", "--save-interval", "2"}).exit_code == 0);
  const std::string before = content_of(folder.path("a"));
  const std::vector<std::vector<std::string>> others = {{"--save", "a"},
                                                        {"--save", "a/", "--hidden-size", "64", "--checkpoint.most_recent_k", "1"},
                                                        {"--save", "a", "--load", "a", "--finetune"},
                                                        {"--save", "a", "--load", "a/iter_0000004", "--finetune"}};
  for (const std::vector<std::string>& other : others) {
    const RunResult r = run(folder, "6", other);
    CAPTURE(r.err);
    CHECK(r.exit_code == 2);
    CHECK_THAT(r.err, ContainsSubstring("iter_0000004") && ContainsSubstring("another folder"));
    CHECK((content_of(folder.path("a")) == before));
  }
  REQUIRE(run(folder, "4", {"--save", "b"}).exit_code == 0);
  CHECK(run(folder, "6", {"--load", "b", "--save", "a"}).exit_code == 2);
  CHECK((content_of(folder.path("a")) == before));
}

TEST_CASE("a run that continues its folder goes on, also from one of its checkpoints") {
  const TemporaryFolder folder;
  REQUIRE(run(folder, "4", {"--save", "a", "--save-interval", "2"}).exit_code == 0);
  CHECK(run(folder, "6", {"--save", "a", "--load", "./a/"}).exit_code == 0);
  CHECK(run(folder, "6", {"--save", "a", "--load", "a/iter_0000002"}).exit_code == 0);
  CHECK(run(folder, "8", {"--save", "c", "--load", "a", "--finetune"}).exit_code == 0);
}

TEST_CASE("--resume begins where nothing is, and continues what is there") {
  const TemporaryFolder folder;
  CHECK_THAT(run(folder, "2", {"--resume", "r", "--log-interval", "1"}).out, ContainsSubstring("iteration        1/"));
  const RunResult second = run(folder, "4", {"--resume", "r", "--log-interval", "1"});
  CHECK(second.exit_code == 0);
  CHECK_THAT(second.out, ContainsSubstring("iteration        3/") && !ContainsSubstring("iteration        2/"));
  CHECK(run(folder, "4", {"--resume", "r", "--save", "r", "--load", "./r/"}).exit_code == 0);
  const std::string before = content_of(folder.path("r"));
  for (const std::vector<std::string>& other :
       std::vector<std::vector<std::string>>{{"--save", "s"}, {"--load", "s"}, {"checkpoint.save=s"}, {"--finetune"}, {"--save", ""}}) {
    std::vector<std::string> args = {"--resume", "r"};
    args.insert(args.end(), other.begin(), other.end());
    const RunResult r = run(folder, "6", args);
    CAPTURE(other, r.err);
    CHECK(r.exit_code == 2);
    CHECK_THAT(r.err, ContainsSubstring(other[0]) || ContainsSubstring("checkpoint.save"));
    CHECK((content_of(folder.path("r")) == before));
    CHECK_FALSE(fs::exists(folder.path("s")));
  }
}

TEST_CASE("--resume goes on with the config that a run has saved, finetuned or not, but loses no start that a config names") {
  const TemporaryFolder folder;
  REQUIRE(run(folder, "2", {"--save", "base"}).exit_code == 0);
  REQUIRE(run(folder, "2", {"--load", "base", "--finetune", "--save", "tuned"}).exit_code == 0);
  const std::string saved = "tuned/iter_0000002/run_config.json";
  const RunResult on = run_binary({"--config", saved, "--resume", "tuned", "--train-iters", "4"}, folder.path());
  CAPTURE(on.err);
  CHECK(on.exit_code == 0);
  CHECK(fs::exists(folder.path("tuned/iter_0000004")));
  const RunResult lost = run_binary({"--config", saved, "--resume", "new", "--train-iters", "4"}, folder.path());
  CHECK(lost.exit_code == 2);
  CHECK_THAT(lost.err, ContainsSubstring("checkpoint.load") && ContainsSubstring("base"));
  CHECK_FALSE(fs::exists(folder.path("new")));
}

TEST_CASE("a tracker alone and half a checkpoint are another run's; a checkpoint is no folder to save into") {
  const TemporaryFolder folder;
  REQUIRE(run(folder, "2", {"--save", "a"}).exit_code == 0);
  folder.file("file", "x");
  fs::create_directories(folder.path("tracker"));
  folder.file("tracker/latest_checkpointed_iteration.txt", "7\n");
  fs::create_directories(folder.path("half/iter_0000007"));
  folder.file("half/iter_0000007/mp_rank_00", "weights");
  const std::string tracker = content_of(folder.path("tracker")), half = content_of(folder.path("half")), a = content_of(folder.path("a"));
  for (const std::string name : {"tracker", "half", "a/iter_0000002", "file"})
    for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{{"--save", name}, {"--resume", name}}) {
      const RunResult r = run(folder, "4", args);
      CAPTURE(name, args, r.err);
      CHECK(r.exit_code == 2);
    }
  CHECK((content_of(folder.path("tracker")) == tracker));
  CHECK((content_of(folder.path("half")) == half));
  CHECK((content_of(folder.path("a")) == a));
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{{"plan", "--save", "a"}, {"plan", "--save", "half"}})
    CHECK(run_binary(args, folder.path()).exit_code == 2);
  CHECK(run(folder, "4", {"--save", "a", "--load", "a/iter_0000002"}).exit_code == 0);
}

TEST_CASE("metrics of a run that left no checkpoint stay: what comes is appended, with a warning") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path("m"));
  folder.file("m/metrics.jsonl", "{\"kind\":\"iteration\",\"iteration\":1}\n");
  const RunResult r = run(folder, "1", {"--save", "m"});
  CHECK(r.exit_code == 0);
  CHECK_THAT(r.err, ContainsSubstring("m/metrics.jsonl") && ContainsSubstring("appended"));
  CHECK(read_text_file(folder.path("m/metrics.jsonl")).rfind("{\"kind\":\"iteration\",\"iteration\":1}\n{", 0) == 0);
}

TEST_CASE("of two runs in one folder at once the second is refused, and the first one's kill frees the folder") {
  const TemporaryFolder folder;
  const TemporaryFolder out;  // of the second: each run has its own place for what it prints
  const std::vector<std::string> size = {"--num-layers", "1", "--hidden-size", "32", "--num-attention-heads", "2", "--seq-length", "16"};
  std::vector<std::string> words = {MBT_BINARY, "--resume", "r", "--train-iters", "1000000", "--save-interval", "1", "--eval-iters", "0"};
  words.insert(words.end(), size.begin(), size.end());
  const pid_t first = start_words(words, folder.path());
  for (int i = 0; i < 1200 && !fs::exists(folder.path("r/iter_0000001")); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(25));
  words.erase(words.begin());
  words[1] = folder.path("r");
  const RunResult second = run_binary(words, out.path());
  kill(first, SIGKILL);
  int status = 0;
  REQUIRE(waitpid(first, &status, 0) == first);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));  // until now it was undisturbed
  CAPTURE(second.err);
  CHECK(second.exit_code == 2);
  CHECK_THAT(second.err, ContainsSubstring("another run is saving into") && ContainsSubstring("another folder"));
  words.insert(words.end(), {"--exit-interval", "1"});
  CHECK(run_binary(words, out.path()).exit_code == 0);
}

TEST_CASE("ranks are refused together, with one message") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  REQUIRE(run(folder, "2", {"--save", "a"}).exit_code == 0);
  const std::string before = content_of(folder.path("a"));
  const RunResult r = run_ranks(2, {"--save", "a", "--train-iters", "2"}, folder.path());
  CAPTURE(r.err);
  CHECK(r.exit_code == 2);
  CHECK(r.err.find("holds the checkpoints of another run") == r.err.rfind("holds the checkpoints of another run"));
  CHECK((content_of(folder.path("a")) == before));
}

}  // namespace mbt::test::run_folder_test

// The folder of a run is safe from other runs, and --resume finds its way alone.
#include <algorithm>
#include <filesystem>

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
  const RunResult twice = run(folder, "4", {"--resume", "r", "--save", "s"});
  CHECK(twice.exit_code == 2);
  CHECK_THAT(twice.err, ContainsSubstring("checkpoint.save"));
}

}  // namespace mbt::test::run_folder_test

// run.json and console.log in the folder of a run.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include "core/base/xxhash.h"
#include "core/data/megatron/indexed_writer.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::run_record_test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<std::string> tiny(const std::string& iterations, std::vector<std::string> more = {}) {
  std::vector<std::string> args = {"--num-layers", "1",  "--hidden-size",      "32",       "--num-attention-heads", "2",
                                   "--seq-length", "16", "--micro-batch-size", "2",        "--global-batch-size",   "4",
                                   "--eval-iters", "0",  "--train-iters",      iterations, "--log-interval",        "1"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

json record_in(const TemporaryFolder& folder, const std::string& run = "run") {
  return json::parse(read_text_file(folder.path(run + "/run.json")));
}

std::string console_in(const TemporaryFolder& folder) { return read_text_file(folder.path("run/console.log")); }

/// Starts a run without end that saves to `run`, and waits until it has printed two losses.
pid_t start_endless(const TemporaryFolder& folder, std::vector<std::string> more = {}) {
  std::vector<std::string> words = tiny("10000000", {"--save", "run"});
  words.insert(words.end(), more.begin(), more.end());
  words.insert(words.begin(), MBT_BINARY);
  const pid_t child = start_words(words, folder.path());
  for (int i = 0; i < 1200 && losses(read_text_file(folder.path("stdout.txt"))).size() < 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

const std::regex kUtc(R"(20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\dZ)");

}  // namespace

TEST_CASE("--version has the commit") {
  const TemporaryFolder folder;
  CHECK(std::regex_match(run_binary({"--version"}, folder.path()).out,
                         std::regex(R"(mbtrain \d+\.\d+\.\d+ \(commit ([0-9a-f]{7,40}(-dirty)?|unknown)\)\n)")));
}

TEST_CASE("run.json says what ran, where, with what, and how it ended") {
  const TemporaryFolder folder;
  const std::string text(5000, 'a'), data = folder.file("text.txt", text);
  folder.file("conf.json", R"({"optimizer": {"lr": 0.002}, "mixed_precision": "bf16_mixed"})");
  const std::vector<std::string> args =
      tiny("2", {"--config", "conf.json", "--save", "run", "--dataset.path", data, "train.micro_batch_size=1"});
  const RunResult r = run_binary(args, folder.path());
  CAPTURE(r.err);
  REQUIRE(r.exit_code == 0);
  const json j = record_in(folder);
  CHECK(run_binary({"--version"}, folder.path()).out ==
        fmt::format("mbtrain {} (commit {})\n", j["version"].get<std::string>(), j["commit"].get<std::string>()));
  CHECK(j["argv"].get<std::vector<std::string>>().size() == args.size() + 1);
  CHECK(j["argv"].back() == "train.micro_batch_size=1");
  CHECK(fs::equivalent(j["folder"].get<std::string>(), folder.path()));
  CHECK_FALSE(j["host"].get<std::string>().empty());
  for (const char* time : {"started", "ended"}) CHECK(std::regex_match(j[time].get<std::string>(), kUtc));
  CHECK(j["started"] <= j["ended"]);
  CHECK(j["exit_code"] == 0);
  CHECK(j["ended_by"] == "finished");
  CHECK(j["ranks"] == 1);
  REQUIRE(j["devices"].size() == 1);
  CHECK(j["devices"][0]["device"] == "cpu");
  CHECK(j["devices"][0].contains("processor"));
  CHECK(j["recipe"] == "bf16_mixed");
  CHECK(j["earlier"].empty());

  const json& set = j["user_settings"];
  CHECK(set["optimizer.lr"] == json({{"value", 0.002}, {"origin", "config file conf.json:1"}, {"resolved", 0.002}}));
  CHECK(set["train.micro_batch_size"]["resolved"] == 1);  // the later of the two
  CHECK(set["train.train_iters"]["value"] == "2");
  CHECK(set["train.train_iters"]["origin"] == "command line --train-iters");
  CHECK(set["train.train_iters"]["resolved"] == 2);
  CHECK(set["mixed_precision"]["value"] == "bf16_mixed");
  CHECK_FALSE(set.contains("optimizer.weight_decay"));
  CHECK(j["config"]["optimizer"].contains("weight_decay"));

  REQUIRE(j["data_files"].size() == 1);
  CHECK(j["data_files"][0] == json({{"path", data}, {"bytes", 5000}, {"head_xxh64", hash_text(xxhash64(text))}}));
}

TEST_CASE("both files of Megatron pairs are named, with hashes of their heads alone") {
  const TemporaryFolder folder;
  for (const std::string name : {"a", "b"}) {
    IndexedWriter writer(folder.path(name), IndexedDtype::int32);
    writer.add_document(std::vector<int32_t>(name == "a" ? 5000 : 400000, 1));
    writer.finish();
  }
  REQUIRE(run_binary(tiny("1", {"--save", "run", "--data-path", "0.5", "a", "0.5", "b"}), folder.path()).exit_code == 0);
  const json files = record_in(folder)["data_files"];
  REQUIRE(files.size() == 4);
  CHECK(files[0]["path"] == "a.bin");
  CHECK(files[1]["path"] == "a.idx");
  const std::string whole = read_text_file(folder.path("b.bin"));
  CHECK(files[2]["bytes"] == 1600000);
  CHECK(files[2]["head_xxh64"] == hash_text(xxhash64(std::string_view(whole).substr(0, 1 << 20))));
}

TEST_CASE("runs in one folder keep each other's records, and console.log") {
  const TemporaryFolder folder;
  for (const char* iterations : {"1", "2", "3"}) REQUIRE(run_binary(tiny(iterations, {"--resume", "run"}), folder.path()).exit_code == 0);
  const json j = record_in(folder);
  REQUIRE(j["earlier"].size() == 2);
  CHECK(j["user_settings"]["train.train_iters"]["resolved"] == 3);
  for (int i : {0, 1}) {
    CHECK(j["earlier"][i]["user_settings"]["train.train_iters"]["resolved"] == i + 1);
    CHECK(j["earlier"][i]["exit_code"] == 0);
    CHECK_FALSE(j["earlier"][i].contains("earlier"));
  }
  const std::string console = console_in(folder);
  size_t runs = 0;
  for (size_t at = console.find("==== "); at != console.npos; at = console.find("==== ", at + 1)) ++runs;
  CHECK(runs == 3);
  CHECK(losses(console).size() == 3);
}

TEST_CASE("console.log has what was printed and logged") {
  const TemporaryFolder folder;
  const RunResult r = run_binary(tiny("3", {"--save", "run", "--eval-iters", "1", "--logger.progress", "on"}), folder.path());
  REQUIRE(r.exit_code == 0);
  const std::string console = console_in(folder);
  CHECK_THAT(console, !ContainsSubstring("\r") && !ContainsSubstring("\033"));
  size_t at = 0;
  for (size_t begin = 0; begin < r.out.size(); begin = at + 1) {  // every line of stdout
    at = r.out.find('\n', begin);
    CHECK_THAT(console, ContainsSubstring(r.out.substr(begin, at + 1 - begin)));
  }
  CHECK_THAT(console, ContainsSubstring("info: recipe: ") && ContainsSubstring("[after training is done] 3 iterations"));
}

TEST_CASE("a folder with the files of a run that left no checkpoint is not filled; what is no record is kept") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path("run"));
  folder.file("run/run.json", "{\"half");
  folder.file("run/console.log", "once\n");
  const RunResult r = run_binary(tiny("1", {"--save", "run"}), folder.path());
  CAPTURE(r.err);
  CHECK(r.exit_code == 0);
  CHECK_THAT(r.err, ContainsSubstring("cannot be read as the record of a run") && ContainsSubstring("run.json.unreadable"));
  CHECK(read_text_file(folder.path("run/run.json.unreadable")) == "{\"half");
  CHECK(record_in(folder)["exit_code"] == 0);
  CHECK(console_in(folder).rfind("once\n", 0) == 0);
}

TEST_CASE("a run that fails says so in its record, and a refused one leaves none") {
  const TemporaryFolder folder;
  const RunResult failed = run_binary(tiny("50", {"--save", "run", "--logger.jsonl_path", "/dev/full"}), folder.path());
  CHECK(failed.exit_code == 1);
  const json j = record_in(folder);
  CHECK(j["exit_code"] == 1);
  CHECK_THAT(j["ended_by"].get<std::string>(), ContainsSubstring("/dev/full"));
  CHECK_THAT(console_in(folder), ContainsSubstring("mbtrain: error: ") && ContainsSubstring("No space left"));
  const RunResult refused = run_binary(tiny("2", {"--save", "other", "--dataset.path", "none"}), folder.path());
  CHECK(refused.exit_code == 2);
  CHECK_FALSE(fs::exists(folder.path("other")));
}

TEST_CASE("a full disk costs lines of console.log, not the run, and is said") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path("run"));
  fs::create_symlink("/dev/full", folder.path("run/console.log"));
  const RunResult r = run_binary(tiny("3", {"--save", "run"}), folder.path());
  CHECK(r.exit_code == 0);
  CHECK(losses(r.out).size() == 3);
  const std::string warning = "cannot write run/console.log: No space left";
  CHECK_THAT(r.err, ContainsSubstring(warning));
  CHECK(r.err.find(warning) == r.err.rfind(warning));
}

TEST_CASE("run.json shows a run at work, and what signals did to it") {
  const TemporaryFolder folder;
  const pid_t stopped = start_endless(folder);
  const json at_work = record_in(folder);
  CHECK((at_work["ended"].is_null() && at_work["exit_code"].is_null() && at_work["ended_by"].is_null()));
  kill(stopped, SIGTERM);
  CHECK(wait_for(stopped) == 0);
  CHECK(record_in(folder)["exit_code"] == 0);
  CHECK(record_in(folder)["ended_by"] == "SIGTERM");

  for (const auto& [signal, name] : {std::pair(SIGHUP, "SIGHUP"), std::pair(SIGABRT, "SIGABRT"), std::pair(SIGSEGV, "SIGSEGV")}) {
    const pid_t killed = start_endless(folder, {"--load", "run"});
    kill(killed, signal);
    CHECK(wait_for(killed) == 128 + signal);
    const json j = record_in(folder);
    CHECK(j["exit_code"] == 128 + signal);
    CHECK(j["ended_by"] == name);
    CHECK(std::regex_match(j["ended"].get<std::string>(), kUtc));
    CHECK(j["started"] <= j["ended"]);
  }
  const pid_t at_once = start_endless(folder, {"--load", "run", "--train.exit_signal_handler", "false"});
  kill(at_once, SIGTERM);
  CHECK(wait_for(at_once) == 128 + SIGTERM);
  CHECK(record_in(folder)["exit_code"] == 128 + SIGTERM);

  const pid_t gone = start_endless(folder, {"--load", "run"});
  kill(gone, SIGKILL);
  CHECK(wait_for(gone) == 128 + SIGKILL);
  const json j = record_in(folder);
  CHECK(j["ended"].is_null());
  CHECK(j["earlier"].size() == 5);
  CHECK(run_binary(tiny("1", {"--save", "run", "--load", "run"}), folder.path()).exit_code == 0);
  CHECK(record_in(folder)["earlier"].size() == 6);
  CHECK(record_in(folder)["earlier"][5]["ended"].is_null());
}

TEST_CASE("of several ranks the first writes, for all; the death of another is in its record") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  const RunResult both = run_ranks(2, tiny("2", {"--save", "run"}), folder.path());
  REQUIRE(both.exit_code == 0);
  CHECK(losses(both.out).size() == 2);  // Megatron's lines, though mpirun's stdout looks like a terminal
  const json j = record_in(folder);
  CHECK(j["ranks"] == 2);
  REQUIRE(j["devices"].size() == 2);
  CHECK(j["devices"][1]["rank"] == 1);
  CHECK(losses(console_in(folder)).size() == 2);

  std::vector<std::string> words = mpirun_words(2);
  words.emplace_back(MBT_BINARY);
  for (const std::string& word : tiny("10000000", {"--save", "run", "--load", "run"})) words.push_back(word);
  const pid_t child = start_words(words, folder.path());
  for (int i = 0; i < 2400 && losses(read_text_file(folder.path("stdout.txt"))).size() < 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  const int first = record_in(folder)["process"].get<int>();
  for (const pid_t rank : processes_in(folder.path()))
    if (rank != first) kill(rank, SIGKILL);
  CHECK(wait_for(child) != 0);
  const json after = record_in(folder);
  CHECK(after["earlier"].size() == 1);
  CAPTURE(after["ended_by"].dump(), read_text_file(folder.path("stderr.txt")));
  CHECK(after["exit_code"] != 0);
  CHECK_FALSE(after["ended"].is_null());
}

}  // namespace mbt::test::run_record_test

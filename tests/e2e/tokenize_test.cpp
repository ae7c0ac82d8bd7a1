// mbtrain tokenize and mbtrain tokenizer as a user runs them.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "core/base/error.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

using namespace mbt::test;
namespace fs = std::filesystem;

namespace {

const std::string kGolden = std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/llama3";

size_t count_files(const std::string& folder) {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    count += entry.path().filename() != "stdout.txt" && entry.path().filename() != "stderr.txt";
  return count;
}

}  // namespace

TEST_CASE("Printed tokens decode to the texts", "[tokenize]") {
  const TemporaryFolder folder;
  const std::string cases =
      folder.file("cases.jsonl", "{\"text\": \"The quick fox\\n\"}\n{\"text\": \"\"}\n{\"text\": \"caf\\u00e9 <|end|>\"}\n");
  const RunResult ids =
      run_binary({"tokenize", "--tokenizer", kGolden, "--input", cases, "--json-key", "text", "--print-ids"}, folder.path());
  REQUIRE(ids.exit_code == 0);
  CHECK(std::count(ids.out.begin(), ids.out.end(), '\n') == 3);
  CHECK_THAT(ids.out, ContainsSubstring("\n[]\n"));
  const RunResult special = run_binary(
      {"tokenize", "--tokenizer", kGolden + "/tokenizer.json", "--input", cases, "--print-ids", "--add-special-tokens"}, folder.path());
  CHECK_THAT(special.out, ContainsSubstring("\n[421]\n"));
  const RunResult text =
      run_binary({"tokenize", "--tokenizer", kGolden, "--input", folder.file("ids.jsonl", ids.out), "--decode"}, folder.path());
  CHECK(text.out == "\"The quick fox\\n\"\n\"\"\n\"caf\\u00e9 \"\n");
  const RunResult kept = run_binary(
      {"tokenize", "--tokenizer", kGolden, "--input", folder.path("ids.jsonl"), "--decode", "--keep-special-tokens"}, folder.path());
  CHECK_THAT(kept.out, ContainsSubstring("\"caf\\u00e9 <|end|>\""));
}

TEST_CASE("Texts become indexed data, complete or not at all", "[tokenize]") {
  const TemporaryFolder folder, output;
  const std::string good = folder.file("good.jsonl", "{\"text\": \"abc\"}\n{\"text\": \"\"}\n{\"text\": \"de\"}\n");
  const RunResult done =
      run_binary({"tokenize", "--tokenizer", "bytes", "--input", good, "--output", output.path("data"), "--workers", "2"}, folder.path());
  REQUIRE(done.exit_code == 0);
  CHECK_THAT(done.out, ContainsSubstring("3 texts (1 without tokens, left out) of 1 files"));
  CHECK(mbt::read_text_file(output.path("data.bin")) == std::string("a\0b\0c\0d\0e\0", 10));  // uint16
  CHECK(fs::file_size(output.path("data.idx")) == 34 + 12 * 2 + 8 * 3);
  const std::string bad = folder.file("bad.jsonl", "{\"text\": \"abc\"}\n{\"text\": 5}\n");
  const RunResult failed =
      run_binary({"tokenize", "--tokenizer", "bytes", "--input", bad, "--output", output.path("other")}, folder.path());
  CHECK(failed.exit_code == 2);
  CHECK_THAT(failed.err, ContainsSubstring("bad.jsonl:2: \"text\" is number"));
  CHECK(count_files(output.path()) == 2);
}

TEST_CASE("A signal leaves nothing half written", "[tokenize]") {
  const TemporaryFolder folder, output;
  std::string line(1 << 20, 'x');
  line.back() = '\n';
  std::string content;
  for (int i = 0; i < 200; ++i) content += line;
  const std::string input = folder.file("long.txt", content);
  const pid_t child =
      start_words({MBT_BINARY, "tokenize", "--tokenizer", kGolden, "--input", input, "--document", "line", "--output", output.path("data")},
                  folder.path());
  for (int i = 0; i < 500 && count_files(output.path()) == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE(count_files(output.path()) > 0);
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 1);
  CHECK(count_files(output.path()) == 0);
  CHECK_THAT(mbt::read_text_file(folder.path("stderr.txt")), ContainsSubstring("interrupted"));
}

TEST_CASE("Wrong use of tokenize is refused", "[tokenize]") {
  const TemporaryFolder folder;
  const std::string file = folder.file("a.txt", "a\xFF");
  const auto refused = [&](std::vector<std::string> args, const std::string& expected) {
    args.insert(args.begin(), "tokenize");
    const RunResult result = run_binary(args, folder.path());
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, ContainsSubstring(expected));
  };
  refused({"--tokenizer", "bytes", "--input", file}, "one of --output PREFIX, --print-ids and --decode");
  refused({"--tokenizer", "bytes", "--input", file, "--print-ids", "--decode"}, "one of");
  refused({"--tokenizer", "none.json", "--input", file, "--print-ids"}, "none.json");
  refused({"--tokenizer", kGolden, "--input", file, "--print-ids"}, "a.txt: text to tokenize: byte 1 of 2 is not UTF-8");
  refused({"--tokenizer", kGolden, "--input", folder.file("b.jsonl", "[1]\n[99999]\n"), "--decode"}, "b.jsonl:2: token 99999");
  refused({"--tokenizer", "bytes", "--input", file, "--print-ids", "--append-eod"}, "--append-eod");
  refused({"--tokenizer", "bytes", "--input", file, "--output", folder.path("no/where")}, "no/where");
}

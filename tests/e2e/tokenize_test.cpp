// mbtrain tokenize and mbtrain tokenizer as a user runs them.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "core/base/error.h"
#include "core/data/megatron/indexed_reader.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::tokenize_test {

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
  refused({"--tokenizer", "bytes", "--input", file, "--print-ids", "--append-eod"}, "name one with --eod-token");
  refused({"--tokenizer", kGolden, "--input", file, "--print-ids", "--eod-token", "<|no such|>"},
          "--eod-token \"<|no such|>\": no token of");
  refused({"--tokenizer", "bytes", "--input", file, "--print-ids", "--eod-token", "256"}, "expected an id from 0 to 255");
  refused({"--tokenizer", "bytes", "--input", file, "--print-ids", "--eod-token", "-1"}, "expected an id from 0 to 255");
  const std::string lines = folder.file("c.json", "{\"text\": \"hello\"}\n");
  refused({"--tokenizer", "bytes", "--input", lines, "--print-ids", "--json-keys", "nosuchkey"}, "c.json:1: has no key \"nosuchkey\"");
  refused({"--tokenizer", "bytes", "--input", lines, "--print-ids", "--json-key", "text", "--document", "file"}, "contradict each other");
  refused({"--tokenizer", "bytes", "--input", lines, "--output", "x", "--json-keys", "a", "b", "a"}, "\"a\" is given twice");
  refused({"--tokenizer", "bytes", "--input", "-", "--print-ids"}, "--document jsonl, line or file");
  refused({"--tokenizer", folder.file("empty.json", ""), "--input", file, "--print-ids"},
          "empty.json: is empty; expected a tokenizer.json");
  refused({"--tokenizer", folder.file("text.json", "hello"), "--input", file, "--print-ids"}, "text.json: begins with \"hello\"");
  refused({"--tokenizer", "bytes", "--input", file, "--output", folder.path("no/where")}, "no/where");
  refused({"--tokenizer", "bytes", "--input", file, "--output", folder.path() + "/"}, "names a folder; expected a prefix");
}

TEST_CASE("A JSON key means JSON Lines, whatever the file is called; empty texts are no documents", "[tokenize]") {
  const TemporaryFolder folder;
  for (const char* name : {"corpus.json", "part-00000", "x.JSONL", "x.txt"}) {
    const std::string file = folder.file(name, "{\"text\": \"hi\", \"hash\": 18446744073709551615}\n{\"text\": \"\", \"score\": NaN}\n");
    const RunResult printed = run_binary(
        {"tokenize", "--tokenizer", "bytes", "--input", file, "--print-ids", "--json-keys", "text", "--eod-token", "0"}, folder.path());
    INFO(printed.err);
    CHECK(printed.out == "[104, 105, 0]\n[]\n");
    const RunResult written = run_binary(
        {"tokenize", "--tokenizer", "bytes", "--input", file, "--output", "p", "--json-key", "text", "--eod-token", "0"}, folder.path());
    CHECK_THAT(written.out, ContainsSubstring("2 texts (1 without tokens, left out)") && ContainsSubstring(" 3 tokens"));
  }
}

TEST_CASE("A token named by the user ends documents", "[tokenize]") {
  const TemporaryFolder folder;
  const std::string file = folder.file("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  const auto ids = [&](const std::string& tokenizer, const std::string& token) {
    const RunResult r =
        run_binary({"tokenize", "--tokenizer", tokenizer, "--input", file, "--print-ids", "--eod-token", token}, folder.path());
    INFO(r.err);
    CHECK(r.exit_code == 0);
    return r.out;
  };
  CHECK(ids("bytes", "0") == "[97, 0]\n[98, 0]\n");
  CHECK(ids("bytes", "x") == "[97, 120]\n[98, 120]\n");
  const std::string by_name = ids(kGolden, "<|end|>");
  CHECK_THAT(by_name, ContainsSubstring(", 42"));  // added tokens are the last of the vocabulary
}

TEST_CASE("Texts come through a pipe in memory that does not grow", "[tokenize]") {
  const TemporaryFolder folder, output;
  const std::string many = "yes '{\"text\": \"some words that fill a line of a corpus\"}' | head -n 3000000";  // 150 MB
  const std::string command = "ulimit -v 1500000; " + many +
                              " | " MBT_BINARY
                              " tokenize --tokenizer bytes --input - --json-key text "
                              "--workers 2 --eod-token 0 --output " +
                              output.path("data");
  const RunResult done = run_words({"bash", "-c", command}, folder.path(), 300);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK_THAT(done.out, ContainsSubstring("3000000 texts (0 without tokens, left out)"));
  const RunResult zipped = run_words(
      {"bash", "-c", "echo x | gzip | " MBT_BINARY " tokenize --tokenizer bytes --input - --document line --print-ids"}, folder.path());
  CHECK(zipped.exit_code == 2);
  CHECK_THAT(zipped.err, ContainsSubstring("standard input: is compressed (gzip)"));
}

TEST_CASE("Waiting for a pipe ends with a signal", "[tokenize]") {
  const TemporaryFolder folder, output;
  const RunResult r =
      run_words({"bash", "-c",  // in the foreground timeout sends one signal, not a second one to its group
                 "timeout --foreground -s INT 1 " MBT_BINARY " tokenize --tokenizer bytes --input - --document line --output " +
                     output.path("data") + " < <(sleep 20)"},
                folder.path(), 90);
  CHECK_THAT(r.err, ContainsSubstring("interrupted by a signal"));
  CHECK(count_files(output.path()) == 0);
}

TEST_CASE("A full disk is said, with exit code 1, and leaves nothing", "[tokenize]") {
  const TemporaryFolder folder, output;
  folder.file("a.txt", std::string(3 << 20, 'a') + "\n");
  const auto run = [&](const std::string& words) { return run_words({"bash", "-c", words}, folder.path()); };
  for (const std::string verb : {"tokenize --tokenizer bytes --input a.txt --print-ids", "--help", "config schema", "data inspect a.txt"}) {
    const RunResult r = run(std::string(MBT_BINARY) + " " + verb + " > /dev/full");
    INFO(verb);
    CHECK(r.exit_code == 1);
    CHECK_THAT(r.err, ContainsSubstring("cannot write to standard output: No space left on device"));
  }
  const RunResult r = run("ulimit -f 1024; " MBT_BINARY " tokenize --tokenizer bytes --input a.txt --output " + output.path("data"));
  CHECK(r.exit_code == 1);
  CHECK_THAT(r.err, ContainsSubstring("data.bin: cannot write it: File too large"));
  CHECK(count_files(output.path()) == 0);
  CHECK(run(std::string(MBT_BINARY) + " tokenize --tokenizer bytes --input a.txt --print-ids | head -c 10").exit_code == 0);
}

TEST_CASE("A file too large for one document has the same tokens, in pieces of one document", "[tokenize]") {
  const TemporaryFolder folder;
  std::string content;
  for (int i = 0; content.size() < 400'000; ++i)
    content += "The quick brown fox no. " + std::to_string(i) + " jumps,\nand caf\u00e9s are full.\n";
  const std::string file = folder.file("a.txt", content);
  const auto pair = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> args{"tokenize", "--tokenizer",     kGolden,       "--input", file,
                                  "--output", folder.path(name), "--eod-token", "<|end|>"};
    args.insert(args.end(), more.begin(), more.end());
    const RunResult r = run_binary(args, folder.path());
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK_THAT(r.out, ContainsSubstring("1 texts (0 without"));
    return mbt::read_text_file(folder.path(name + ".bin"));
  };
  CHECK(pair("pieces", {"--max-document-bytes", "10000", "--workers", "3"}) == pair("whole", {}));
  const mbt::IndexedReader pieces(folder.path("pieces"));
  CHECK(pieces.num_documents() == 1);
  CHECK(pieces.num_sequences() > 30);
  const RunResult refused =
      run_binary({"tokenize", "--tokenizer", kGolden, "--input", file, "--print-ids", "--max-document-bytes", "10000"}, folder.path());
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, ContainsSubstring("a.txt: is larger than 10000 bytes"));
}

}  // namespace mbt::test::tokenize_test

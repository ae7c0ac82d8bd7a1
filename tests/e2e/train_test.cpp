// The program as its users run it: training, saving, continuing, generating, stopping, and what they get wrong on the way.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include "core/base/strings.h"
#include "core/data/megatron/indexed_writer.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::train_test {

namespace fs = std::filesystem;

namespace {

/// A run of a few seconds at most: a small model, each iteration's line printed.
std::vector<std::string> small(const std::string& iterations, std::vector<std::string> more = {}) {
  std::vector<std::string> args = {"--model.hidden_size",     "64",       "--seq-length",   "64",
                                   "--train-iters",           iterations, "--log-interval", "1",
                                   "--validation.eval_iters", "1"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

RunResult succeed(const std::vector<std::string>& args, const TemporaryFolder& folder) {
  const RunResult r = run_binary(args, folder.path());
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return r;
}

std::string some_text() {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "for (int i = " + std::to_string(i % 10) + "; i < n; ++i) sum += i;\n";
  return text;
}

}  // namespace

TEST_CASE("mbtrain --mixed-precision bf16_with_fp8_current_scaling_mixed trains") {
  const TemporaryFolder folder;
  const RunResult r = run_binary({"--mixed-precision", "bf16_with_fp8_current_scaling_mixed", "--train-iters", "60"}, folder.path());
  REQUIRE(r.exit_code == 0);
  const std::vector<std::string> l = losses(r.out);
  REQUIRE(l.size() == 7);  // iterations 1, 10, 20, ... 60
  CHECK(std::stod(l.back()) < std::stod(l.front()) - 0.5);
  CHECK_THAT(r.err, ContainsSubstring("nats a token"));
  CHECK_THAT(r.out, ContainsSubstring("validation loss at iteration 60 on validation set | lm loss value: "));
}

TEST_CASE("without any argument mbtrain starts to train the built-in model") {
  const TemporaryFolder folder;
  const RunResult r = run_binary({"--train.exit_interval", "2"}, folder.path());
  CHECK(r.exit_code == 0);
  CHECK_THAT(r.out, ContainsSubstring(" iteration        1/     200 | consumed samples:           16 |"));
}

TEST_CASE("log lines have Megatron's form; the same run prints the same losses; hyphens and underscores are one") {
  const TemporaryFolder folder;
  const RunResult first = succeed(small("3", {"--mixed-precision", "bf16_with_fp8_delayed_scaling_mixed"}), folder);
  const RunResult second = succeed(small("3", {"--mixed-precision", "bf16-with-fp8-delayed-scaling-mixed"}), folder);
  CHECK(losses(first.out).size() == 3);
  CHECK(losses(first.out) == losses(second.out));
  const std::regex line(
      R"( iteration        1/       3 \| consumed samples:           16 \| elapsed time per iteration \(ms\): \d+\.\d \| )"
      R"(learning rate: \d\.\d{6}E-\d\d \| global batch size:    16 \| lm loss: \d\.\d{6}E\+\d\d \| loss scale: 1\.0 \| )"
      R"(grad norm: \d+\.\d{3} \| number of skipped iterations:   0 \| number of nan iterations:   0 \|)");
  CHECK(std::regex_search(first.out, line));
}

TEST_CASE("fp16 prints a loss in every line, while its scale comes down too") {
  const TemporaryFolder folder;
  const std::vector<std::string> l = losses(succeed(small("14", {"--mixed-precision", "fp16_mixed"}), folder).out);
  REQUIRE(l.size() == 14);
  for (const std::string& loss : l) CHECK(std::stod(loss) > 0);
}

TEST_CASE("text files and folders are data") {
  const TemporaryFolder folder;
  fs::create_directory(folder.path("code"));
  folder.file("code/a.h", some_text());
  folder.file("code/b.txt", some_text());
  CHECK(losses(succeed(small("2", {"--dataset.path", folder.path("code/a.h")}), folder).out).size() == 2);
  CHECK(losses(succeed(small("2", {"--dataset.path", folder.path("code"), "--dataset.text_suffixes", ".h"}), folder).out).size() == 2);
}

TEST_CASE("save, continue, generate") {
  const TemporaryFolder folder;
  const std::string text = folder.file("text", some_text());
  const std::vector<std::string> whole = losses(succeed(small("6", {"--dataset.path", text}), folder).out);
  const std::vector<std::string> options = {
      "--dataset.path", text, "--checkpoint.save", folder.path("run"), "--checkpoint.save_interval", "3"};
  std::vector<std::string> first = options;
  first.insert(first.end(), {"--train.exit_interval", "3"});
  succeed(small("6", first), folder);
  std::vector<std::string> second = options;
  second.insert(second.end(), {"--checkpoint.load", folder.path("run")});
  const RunResult continued = succeed(small("6", second), folder);
  CHECK(losses(continued.out) == std::vector<std::string>(whole.begin() + 3, whole.end()));
  CHECK_THAT(continued.out, ContainsSubstring("successfully saved checkpoint from iteration       6 to"));
  std::vector<int> iterations;
  for (const std::string& line : split(read_text_file(folder.path("run/metrics.jsonl")), '\n')) {
    if (line.empty()) continue;
    const nlohmann::json record = nlohmann::json::parse(line);
    if (record["kind"] == "iteration") iterations.push_back(record["iteration"]);
  }
  CHECK(iterations == std::vector<int>{1, 2, 3, 4, 5, 6});

  const std::vector<std::string> generate = {"generate", "--checkpoint.load", folder.path("run"), "--prompt", "for (", "--max-new-tokens",
                                             "100"};
  const RunResult sample = succeed(generate, folder);
  CHECK(sample.out.size() >= 5 + 100 + 1);  // bytes that are no characters become U+FFFD, which is longer
  CHECK(sample.out.rfind("for (", 0) == 0);
  CHECK(succeed(generate, folder).out == sample.out);
  std::vector<std::string> other = generate;
  other.insert(other.end(), {"--seed", "7"});
  CHECK(succeed(other, folder).out != sample.out);
}

TEST_CASE("a checkpoint of a model that computes something else with the same shapes is loaded with a warning") {
  const TemporaryFolder folder;
  succeed(small("1", {"--checkpoint.save", "run"}), folder);
  const RunResult other = succeed(small("2", {"--checkpoint.load", "run", "--num-attention-heads", "2"}), folder);
  CHECK_THAT(other.err, ContainsSubstring("computes something else") && ContainsSubstring("model.num_attention_heads 4 (checkpoint run/") &&
                            ContainsSubstring("-> 2 (command line --num-attention-heads)"));
  CHECK_THAT(succeed(small("2", {"--checkpoint.load", "run"}), folder).err, !ContainsSubstring("computes something else"));
}

TEST_CASE("metrics that cannot be written end the run with a checkpoint and exit code 1") {
  const TemporaryFolder folder;
  const RunResult result = run_binary(small("50", {"--logger.jsonl_path", "/dev/full", "--checkpoint.save", "run"}), folder.path());
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, ContainsSubstring("/dev/full") && ContainsSubstring("No space left") && ContainsSubstring("after iteration 1"));
  CHECK(std::filesystem::exists(folder.path("run/iter_0000001/metadata.json")));
}

TEST_CASE("a trace is written, or refused before the first step") {
  const TemporaryFolder folder;
  const RunResult refused = run_binary(small("2", {"--profiling.trace_path", folder.path("no/such/trace.json")}), folder.path());
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, ContainsSubstring("profiling.trace_path: ") && ContainsSubstring("No such file or directory"));
  CHECK(losses(refused.out).empty());
  succeed(small("2", {"--profiling.trace_path", "trace.json", "--profile-step-start", "1", "--profile-step-end", "2"}), folder);
  CHECK(nlohmann::json::parse(read_text_file(folder.path("trace.json")))["traceEvents"].size() > 10);
}

TEST_CASE("SIGTERM ends a run after its step, with a checkpoint and exit code 0") {
  const TemporaryFolder folder;
  const pid_t child =
      start_words({MBT_BINARY, "--train-iters", "1000000", "--log-interval", "1", "--checkpoint.save", "run", "--logger.progress", "on"},
                  folder.path());
  const auto printed = [&] { return read_text_file(folder.path("stdout.txt")); };
  const auto has_progress = [&] { return read_text_file(folder.path("stderr.txt")).find(" left") != std::string::npos; };
  for (int i = 0; i < 600 && (losses(printed()).size() < 2 || !has_progress()); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  kill(child, SIGTERM);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK_THAT(printed(), ContainsSubstring("exiting program after receiving SIGTERM."));
  CHECK(fs::exists(folder.path("run/latest_checkpointed_iteration.txt")));
  CHECK_THAT(read_text_file(folder.path("stderr.txt")), ContainsSubstring("\r\033[K [>") && ContainsSubstring("/1000000  loss ") &&
                                                            ContainsSubstring(" tok/s  ") && ContainsSubstring("m left"));
}

TEST_CASE("without train.exit_signal_handler a signal ends a run at once; without a terminal there is no progress line") {
  const TemporaryFolder folder;
  const pid_t child =
      start_words({MBT_BINARY, "--train-iters", "1000000", "--log-interval", "1", "--train.exit_signal_handler", "false"}, folder.path());
  for (int i = 0; i < 600 && losses(read_text_file(folder.path("stdout.txt"))).size() < 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  kill(child, SIGTERM);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK_THAT(read_text_file(folder.path("stderr.txt")), !ContainsSubstring("\r"));
}

TEST_CASE("a run that is refused leaves exit code 2, a reason, and no file", "[bad_input]") {
  struct Refused {
    std::vector<std::string> args;
    std::string reason;
  };
  const TemporaryFolder folder;
  const std::string empty = folder.file("empty.txt", ""), brief = folder.file("brief.txt", "hello"), file = folder.file("file", "x");
  const std::string none = folder.path("none"), save = folder.path("save"), empty_folder = folder.path("empty");
  fs::create_directory(empty_folder);
  const std::string golden = std::string(MBT_SOURCE_DIR) + "/tests/golden/models/llama2";
  const std::string broken = folder.path("broken"), weights = broken + "/model.safetensors";
  fs::copy(golden, broken);
  const std::string whole = read_text_file(weights);
  fs::resize_file(weights, whole.size() - 1000);
  const std::string tokens = folder.path("tokens");
  IndexedWriter writer(tokens, IndexedDtype::uint16);
  writer.add_document(std::vector<int32_t>(5000, 1));
  writer.finish();
  const std::vector<Refused> cases = {
      {{"--mixed-precision", "bf16_mixd"}, "bf16_mixed"},
      {{"--dataset.path", none}, none},
      {{"--dataset.path", empty}, "empty"},
      {{"--dataset.path", brief}, "brief.txt"},
      {{"--checkpoint.load", none}, "there is no folder"},
      {{"--checkpoint.load", none, "--checkpoint.save", save}, "there is no folder"},
      {{"--checkpoint.load", file}, "is a file, expected the folder of a run"},
      {{"--checkpoint.save", "/proc/none"}, "/proc/none"},
      {{"--checkpoint.save", file}, "something else has that name"},
      {{"--logger.jsonl_path", none + "/metrics.jsonl"}, "cannot write"},
      {{"--model.vocab_size", "100"}, "smaller than the 256 tokens"},
      {{"--model.hf_path", broken, "--data-path", tokens, "--eval-iters", "0"}, "model.safetensors"},
      {{"probe", "--model.hf_path", broken, "--batch", golden + "/batch.safetensors", "--out", save}, "model.safetensors"},
      {{"probe", "--model.hf_path", golden, "--batch", golden + "/model.safetensors", "--out", save}, "input_ids"},
      {{"probe", "--model.hf_path", golden, "--batch", golden + "/batch.safetensors", "--out", none + "/out"}, none},
      {{"probe", "--model.hf_path", golden, "--batch", golden + "/batch.safetensors", "--out", save, "--steps", "99"},
       "--steps asks for 99"},
      {{"generate", "--checkpoint.load", none}, "there is no folder"},
      {{"generate", "--checkpoint.load", broken}, "its tokenizer cannot be used"},
      {{"generate", "--checkpoint.load", empty_folder}, "holds no checkpoint"},
      {{"generate", "--checkpoint.load", broken, "--prompt", ""}, "--prompt"},
      {{"generate", "--checkpoint.load", broken, "--top-p", "2"}, "top_p"},
  };
  for (const Refused& c : cases) {
    const RunResult r = run_binary(c.args, folder.path());
    std::string command = "mbtrain";
    for (const std::string& a : c.args) command += " " + a;
    INFO(command << "\n" << r.err);
    CHECK(r.exit_code == 2);
    CHECK_FALSE(r.timed_out);
    CHECK_THAT(r.err, ContainsSubstring("mbtrain: error: ") && ContainsSubstring(c.reason));
    CHECK_FALSE(fs::exists(save));
    CHECK_FALSE(fs::exists(none));
  }
}

}  // namespace mbt::test::train_test

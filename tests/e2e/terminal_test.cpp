// What a person sees on a terminal: short lines, progress, colors, and the name of the signal that ended a run.
#include <algorithm>
#include <regex>

#include "core/base/strings.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/run_on_terminal.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::terminal_test {

namespace {

std::vector<std::string> tiny(const std::string& iterations, std::vector<std::string> more = {}) {
  std::vector<std::string> args = {"--num-layers", "1",  "--hidden-size",      "32",       "--num-attention-heads", "2",
                                   "--seq-length", "16", "--micro-batch-size", "2",        "--global-batch-size",   "4",
                                   "--eval-iters", "0",  "--train-iters",      iterations, "--log-interval",        "1"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

const std::string kColor = "\033[3";  // the foreground colors of spdlog's levels

}  // namespace

TEST_CASE("on a terminal the log line is short, elsewhere it is Megatron's, and a field decides") {
  const TemporaryFolder folder;
  const std::regex short_line(R"( 3/3  loss +\d\.\d{4}  lr \d\.\d{3}e-\d\d  grad norm +\d+\.\d{3}  +\d+ tok/s  +\d+\.\d ms/it)");
  const std::string megatron = "| elapsed time per iteration (ms):";
  const std::string on_terminal = run_on_terminal(tiny("3"), folder.path()).text;
  CHECK(std::regex_search(on_terminal, short_line));
  CHECK_THAT(on_terminal, !ContainsSubstring(megatron));
  for (const std::string& line : split(on_terminal, '\n'))
    if (line.find("tok/s") != line.npos) CHECK(line.size() <= 160 + 12);  // with the \r at its end, and the sequence that clears progress
  CHECK_THAT(run_on_terminal(tiny("3", {"--logger.log_format", "megatron"}), folder.path()).text, ContainsSubstring(megatron));

  const RunResult elsewhere = run_binary(tiny("3"), folder.path());
  CHECK_THAT(elsewhere.out, ContainsSubstring(megatron));
  const RunResult wanted = run_binary(tiny("3", {"--logger.log_format", "short"}), folder.path());
  CHECK(std::regex_search(wanted.out, short_line));
  CHECK_THAT(wanted.out, !ContainsSubstring(megatron));
}

TEST_CASE("the short line shows a loss scale, and what was skipped") {
  const TemporaryFolder folder;
  const RunResult r = run_binary(tiny("2", {"--mixed-precision", "fp16_mixed", "--logger.log_format", "short", "--train.iterations_to_skip",
                                            "2", "--initial-loss-scale", "1024"}),
                                 folder.path());
  CAPTURE(r.out, r.err);
  CHECK_THAT(r.out, ContainsSubstring(" 1/2  loss") && ContainsSubstring("scale 1024") && ContainsSubstring("loss      nan") &&
                        ContainsSubstring("skipped 1"));
  CHECK(r.out.find("skipped") == r.out.rfind("skipped"));  // not where nothing was
}

TEST_CASE("colors obey NO_COLOR and TERM=dumb; an empty NO_COLOR is none") {
  const TemporaryFolder folder;
  const auto text_with = [&](const std::string& variable, const std::string& value) {
    return run_on_terminal(tiny("1"), folder.path(), {.environment = {{variable, value}}}).text;
  };
  CHECK_THAT(text_with("ANYTHING", "1"), ContainsSubstring(kColor));
  CHECK_THAT(text_with("NO_COLOR", ""), ContainsSubstring(kColor));
  CHECK_THAT(text_with("NO_COLOR", "1"), !ContainsSubstring(kColor) && ContainsSubstring("info: "));
  CHECK_THAT(text_with("TERM", "dumb"), !ContainsSubstring("\033") && ContainsSubstring("info: "));
  CHECK_THAT(run_binary(tiny("1"), folder.path()).err, !ContainsSubstring("\033"));
}

TEST_CASE("Ctrl-C is called SIGINT, and ends the run with its checkpoint") {
  const TemporaryFolder folder;
  bool is_typed = false;
  const auto type = [&](const std::string& text) {
    if (is_typed || text.find("tok/s") == text.npos) return std::string();
    is_typed = true;
    return std::string("\003");
  };
  const TerminalRun r = run_on_terminal(tiny("1000000", {"--save", "run"}), folder.path(), {.type = type});
  CHECK(r.exit_code == 0);
  CHECK_THAT(r.text, ContainsSubstring("exiting program after receiving SIGINT.") && !ContainsSubstring("SIGTERM"));
  CHECK(std::filesystem::exists(folder.path("run/latest_checkpointed_iteration.txt")));
  const std::string log = read_text_file(folder.path("run/console.log"));
  CHECK_THAT(log, ContainsSubstring("tok/s") && ContainsSubstring("exiting program after receiving SIGINT.") &&
                      !ContainsSubstring("\033") && !ContainsSubstring("\r") && !ContainsSubstring("[=") && !ContainsSubstring("[>"));
}

TEST_CASE("bench gemm shows how far it is on a terminal, and nowhere else") {
  const TemporaryFolder folder;
  const std::vector<std::string> args = {"bench", "gemm", "--device", "cpu", "--square", "64", "--tokens", "64", "--layer", "64x64"};
  const TerminalRun r = run_on_terminal(args, folder.path());
  CHECK(r.exit_code == 0);
  CHECK_THAT(r.text, ContainsSubstring(" of 24: 64x64x64 ") && ContainsSubstring("left") && ContainsSubstring("TFLOP/s"));
  CHECK_THAT(run_binary(args, folder.path()).err, !ContainsSubstring(" of 24"));
}

TEST_CASE("a run says first what it will do, then the details, and warnings last") {
  const TemporaryFolder folder;
  const RunResult r = run_binary(
      tiny("2", {"--mixed-precision", "bf16_with_mxfp8_mixed", "--mixed-precision.fp8", "hybrid", "--save", "run", "--save-interval", "1"}),
      folder.path());
  CAPTURE(r.err);
  CHECK(r.exit_code == 0);
  size_t at = 0;
  for (const char* what :
       {"model: ", "recipe: bf16_with_mxfp8_mixed", "products emulated on cpu", "data: ", "saves: checkpoints in run, every 1 iterations",
        "length: 2 iterations of 4 x 16 tokens, 128 tokens in all", "processor: ", "warning: "}) {
    const size_t found = r.err.find(what, at);
    CAPTURE(what);
    CHECK(found != r.err.npos);
    if (found != r.err.npos) at = found;
  }
  CHECK_THAT(run_binary(tiny("1"), folder.path()).err, ContainsSubstring("saves: nothing") && ContainsSubstring("all products"));
  CHECK_THAT(run_binary(tiny("3", {"--resume", "run"}), folder.path()).err, ContainsSubstring("; 2 done, 1 to go"));
}

}  // namespace mbt::test::terminal_test

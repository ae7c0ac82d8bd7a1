// What a user can get wrong: exit code 2, a message that says what and where on stderr, nothing on stdout, no file left behind.
#include <sys/stat.h>

#include <set>

#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::bad_input_test {

namespace fs = std::filesystem;

namespace {

/// One row. In `args`, "@NAME" stands for the path of a file NAME with the text `file`.
struct BadInput {
  std::vector<std::string> args;
  std::vector<std::string> expected;  ///< each of them must be in the message
  std::string file = "";
};

std::vector<BadInput> bad_arguments() {
  return {
      {{"trian"}, {"unknown verb \"trian\""}},
      {{"config"}, {"WHAT is missing, expected one of schema, reference, megatron, show", "mbtrain config --help"}},
      {{"config", "scheme"}, {"got \"scheme\", expected one of schema", "did you mean \"schema\"?"}},
      {{"config", "schema", "--jsn"}, {"unknown flag \"--jsn\""}},
      {{"config", "show", "--lr", "nan"}, {"expected a number"}},
      {{"plan", "--jsn"}, {"did you mean \"--json\"?"}},
      {{"--mixed-precision", "bf16_mixd"}, {"bf16_mixd", "bf16_mixed"}},
      {{"--mixed-precision", "none.json"}, {"none.json", "cannot be read"}},
      {{"--recipes", "none.json"}, {"none.json", "cannot be read"}},
      {{"--no-such-flag", "1"}, {"--no-such-flag", "unknown flag"}},
      {{"--train-iter", "1"}, {"did you mean \"--train-iters\"?"}},
      {{"model.hiden_size=64"}, {"command line, model.hiden_size", "did you mean \"hidden_size\"?"}},
      {{"--model.hidden_size", "big"}, {"--model.hidden_size", "got \"big\", expected an integer"}},
      {{"--train-iters", "-5"}, {"--train-iters", "got -5, expected an integer from 1"}},
      {{"--train-iters", "99999999999999999999"}, {"beyond 64-bit integers"}},
      {{"--lr", "nan"}, {"--lr", "got \"nan\", expected a number"}},
      {{"--lr"}, {"--lr", "needs a value"}},
      {{"--mixed-precision.fp8", "e9m9"}, {"got \"e9m9\", expected one of e4m3, hybrid"}},
      {{"--model.hidden_size", "100", "--model.num_attention_heads", "7"},
       {"model.hidden_size", "not a multiple of num_attention_heads 7"}},
      {{"--global-batch-size", "7", "--micro-batch-size", "4"}, {"train.global_batch_size", "take 4 or 8"}},
      {{"--train-iters", "3", "--train-samples", "64"}, {"give one of the two"}},
      {{"--save-interval", "3"}, {"checkpoint.save names no folder"}},
      {{"--nonsense", "x.y=1", "--lr", "fast"}, {"3 problems", "--nonsense", "x.y", "--lr"}},
      {{"optimizer.lrr=1", "--hidden-size", "100", "--num-attention-heads", "7"}, {"2 problems", "lrr", "num_attention_heads 7"}},
  };
}

std::vector<BadInput> bad_config_files() {
  const auto row = [](const std::string& text, std::vector<std::string> expected) {
    return BadInput{{"--config", "@run.json"}, std::move(expected), text};
  };
  return {
      {{"--config", "none.json"}, {"none.json: cannot be read", "No such file"}},
      {{"--config", "."}, {"is a folder"}},
      {{"--config", "/dev/zero"}, {"is a device; expected a JSON file"}},
      row("", {"run.json: empty"}),
      row("{\"model\": {\"hidden_size\": 64,,}}", {"run.json:1: not valid JSON"}),
      row("{\"model\": []}", {"run.json:1: model: got array, expected an object"}),
      row("{\n\"modl\": {}}", {"run.json:2: unknown section \"modl\"; did you mean \"model\"?"}),
      row("{\"train\": {\"train_iters\": 5,\n\"train_iters\": 6}}", {"run.json:2: key \"train_iters\" appears twice"}),
      row("{\"train\":\n {\"train_iters\": \"5\"}}", {"run.json:2: train.train_iters: got \"5\", expected an integer"}),
      row("{\"optimizer\": {\"lr\": nan}}", {"run.json:1", "no NaN"}),
      row("{\"train\": {\"train_iters\": 99999999999999999999}}", {"out of range"}),
      row(std::string(200000, '['), {"nested deeper than 100"}),
      row(std::string("\xff\xfe\x00\x01", 4), {"run.json:1: not valid JSON"}),
  };
}

std::vector<BadInput> bad_data_and_folders() {
  return {
      {{"--dataset.path", "none.txt"}, {"none.txt"}},
      {{"--dataset.path", "@empty.txt"}, {"empty.txt", "empty"}},
      {{"--dataset.path", "@short.txt"}, {"short.txt"}, "hello"},
      {{"--dataset.kind", "text"}, {"dataset.kind"}},
      {{"--dataset.split", "1,x"}, {"split"}},
      {{"--checkpoint.load", "nothing"}, {"checkpoint.load", "nothing"}},
      {{"--checkpoint.load", "@file"}, {"checkpoint.load"}, "not a folder"},
      {{"--checkpoint.save", "/proc/none", "--train-iters", "2"}, {"/proc/none"}},
      {{"--checkpoint.save", "@file", "--train-iters", "2"}, {"checkpoint.save"}, "not a folder"},
      {{"--model.hf_path", "nothing"}, {"nothing"}},
      {{"generate", "--checkpoint.load", "nothing"}, {"nothing"}},
  };
}

std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

void check_refused(BadInput input) {
  const TemporaryFolder folder;
  std::set<std::string> expected_files = {"stdout.txt", "stderr.txt"};
  std::string shown_args;
  for (std::string& arg : input.args) {
    shown_args += arg + " ";
    if (arg[0] != '@') continue;
    arg = arg.substr(1);
    folder.file(arg, input.file);
    expected_files.insert(arg);
  }
  const RunResult result = run_binary(input.args, folder.path());
  INFO("mbtrain " << shown_args << "\n" << input.file.substr(0, 80) << "\n" << result.err);
  CHECK_FALSE(result.timed_out);
  CHECK(result.exit_code == 2);
  CHECK(result.out.empty());
  for (const std::string& part : input.expected) CHECK_THAT(result.err, ContainsSubstring(part));
  CHECK(files_in(folder.path()) == expected_files);
}

}  // namespace

TEST_CASE("Bad arguments") {
  for (const BadInput& input : bad_arguments()) check_refused(input);
}

TEST_CASE("Bad config files") {
  for (const BadInput& input : bad_config_files()) check_refused(input);
}

TEST_CASE("Data and folders that cannot be used") {
  for (const BadInput& input : bad_data_and_folders()) check_refused(input);
}

TEST_CASE("A FIFO is refused, not waited for") {
  const TemporaryFolder folder;
  REQUIRE(mkfifo(folder.path("fifo").c_str(), 0600) == 0);
  for (const char* flag : {"--config", "--recipes", "--dataset.path"}) {
    const RunResult result = run_binary({"train", flag, "fifo"}, folder.path(), 20);
    CHECK_FALSE(result.timed_out);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, ContainsSubstring("FIFO"));
  }
}

TEST_CASE("A shown config reads back as the same config") {
  const TemporaryFolder folder;
  const RunResult shown = run_binary({"config", "show", "--mixed-precision", "bf16_with_mxfp8_mixed", "--lr", "0.1"}, folder.path());
  REQUIRE(shown.exit_code == 0);
  folder.file("run.json", shown.out);
  CHECK(run_binary({"config", "show", "--config", "run.json"}, folder.path()).out == shown.out);
}

TEST_CASE("mbtrain --help tells which environment variables count") {
  const TemporaryFolder folder;
  const std::string help = run_binary({"--help"}, folder.path()).out;
  for (const char* variable : {"MBTRAIN_RECIPES", "MBTRAIN_GEMM_ALGORITHMS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS",
                               "MBT_CPU_LEVEL", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"})
    CHECK_THAT(help, ContainsSubstring(variable));
}

TEST_CASE("What asks for help gets it on stdout") {
  const TemporaryFolder folder;
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"--help"}, {"config", "--help"}, {"config", "show", "-h"}, {"--version"}}) {
    const RunResult result = run_binary(args, folder.path());
    CHECK(result.exit_code == 0);
    CHECK(result.err.empty());
    CHECK_THAT(result.out, ContainsSubstring("mbtrain"));
  }
}

}  // namespace mbt::test::bad_input_test

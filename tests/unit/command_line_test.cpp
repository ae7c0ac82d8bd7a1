#include "core/config/command_line.h"

#include "core/config/assign.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::command_line_test {

namespace {

struct Applied {
  ConfigInput input;
  RunConfig config;
  Origins origins;
  std::vector<Problem> problems;
};

Applied apply(const std::vector<std::string>& args) {
  Applied result;
  result.input = parse_config_arguments(args);
  result.problems = result.input.problems;
  apply_assignments(result.config, result.input.assignments, result.origins, result.problems);
  return result;
}

std::string only_problem(const std::vector<std::string>& args) {
  const Applied result = apply(args);
  REQUIRE(result.problems.size() == 1);
  return result.problems[0].where + ": " + result.problems[0].what;
}

}  // namespace

TEST_CASE("Every form of setting a field", "[command_line]") {
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{{"train.micro_batch_size=3"},
                                                                                    {"--train.micro_batch_size", "3"},
                                                                                    {"--train.micro-batch-size", "3"},
                                                                                    {"--train.micro_batch_size=3"},
                                                                                    {"--micro-batch-size", "3"},
                                                                                    {"--micro_batch_size", "3"},
                                                                                    {"--micro-batch-size=3"}}) {
    const Applied result = apply(args);
    INFO(args[0]);
    CHECK(result.problems.empty());
    CHECK(result.config.train.micro_batch_size == 3);
    CHECK(result.origins.at("train.micro_batch_size").kind == Origin::Kind::command_line);
  }
}

TEST_CASE("Booleans: alone, with a value, before another argument", "[command_line]") {
  CHECK(apply({"--log-throughput"}).config.logger.log_throughput);
  CHECK(apply({"--logger.log_throughput"}).config.logger.log_throughput);
  CHECK_FALSE(apply({"--log-throughput", "--log-throughput", "false"}).config.logger.log_throughput);
  const Applied result = apply({"--log-throughput", "train.train_iters=4", "--finetune", "--lr", "1"});
  CHECK(result.problems.empty());
  CHECK(result.config.logger.log_throughput);
  CHECK(result.config.checkpoint.finetune);
  CHECK(result.config.train.train_iters == 4);
}

TEST_CASE("Values keep their text: negative numbers, equal signs, blanks", "[command_line]") {
  CHECK(apply({"--dataset.path=a=b c"}).config.dataset.path == "a=b c");
  CHECK(apply({"dataset.path=a=b"}).config.dataset.path == "a=b");
  CHECK(apply({"--dataset.path", "x=y"}).config.dataset.path == "x=y");
  CHECK(apply({"--checkpoint.most_recent_k", "-1"}).problems.empty());
  CHECK_THAT(only_problem({"--train-iters", "-5"}), ContainsSubstring("got -5, expected an integer from 1"));
}

TEST_CASE("The recipe and its single fields", "[command_line]") {
  const Applied result = apply({"--mixed-precision", "bf16_mixed", "--mixed-precision.fp8", "hybrid", "mixed_precision.fp8_margin=1"});
  CHECK(result.problems.empty());
  CHECK(result.input.recipe == "bf16_mixed");
  CHECK(to_string(result.input.recipe_origin) == "command line --mixed-precision");
  CHECK(result.config.mixed_precision.fp8 == Fp8Format::hybrid);
  CHECK(result.config.mixed_precision.fp8_margin == 1);
  for (const char* form : {"--mixed_precision=x.json", "mixed_precision=x.json", "mixed_precision.name=x.json", "mixed-precision=x.json"})
    CHECK(apply({form}).input.recipe == "x.json");
  CHECK(apply({"--recipes", "a.json", "--recipes=b.json"}).input.recipe_files == std::vector<std::string>{"a.json", "b.json"});
}

TEST_CASE("The command line wins over files, the later over the earlier", "[command_line]") {
  const TemporaryFolder folder;
  const std::string a = folder.file("a.json", "{\"train\": {\"train_iters\": 1, \"micro_batch_size\": 1},\n\"mixed_precision\": \"fp32\"}");
  const std::string b = folder.file("b.json", "{\"train\": {\"train_iters\": 2},\n\n\"mixed_precision\": {\"fp8\": \"e4m3\"}}");
  const Applied result = apply({"--train-iters", "3", "train.train_iters=4", "--config", a, "--config", b});
  CHECK(result.problems.empty());
  CHECK(result.config.train.train_iters == 4);
  CHECK(result.config.train.micro_batch_size == 1);
  CHECK(to_string(result.origins.at("train.micro_batch_size")) == "config file " + a + ":1");
  CHECK(to_string(result.origins.at("train.train_iters")) == "command line train.train_iters");
  CHECK_FALSE(result.input.recipe);
  CHECK(to_string(result.input.recipe_origin) == "config file " + b + ":3");
  CHECK(apply({"--config", b, "--config", a}).input.recipe == "fp32");
  CHECK_FALSE(apply({"--config", b, "--config", a}).input.inline_recipe);
  CHECK_FALSE(apply({"--mixed-precision", "fp32", "--config", b}).input.inline_recipe);
}

TEST_CASE("Flags of other trainers are answered with ours", "[command_line]") {
  const auto answers = [](const std::vector<std::string>& args, const std::string& expected) {
    CHECK_THAT(only_problem(args), ContainsSubstring(expected));
  };
  answers({"--learning-rate", "1e-3"}, "here it is --lr");
  answers({"--n_layer=12"}, "here it is --num-layers");
  answers({"--training.steps", "100"}, "here it is --train-iters");
  answers({"--training.local_batch_size=8"}, "here it is --micro-batch-size");
  answers({"model.flavor=8B"}, "here it is --config NAME");
  answers({"--transformer-impl", "local"}, "`mbtrain pretrain_gpt` takes this one of Megatron-LM (no effect: ");
}

TEST_CASE("Values behind an unknown flag are no further problems", "[command_line]") {
  CHECK_THAT(only_problem({"--betas", "0.9", "0.95"}), ContainsSubstring("--adam-beta1 and --adam-beta2"));
  CHECK_THAT(only_problem({"--nonsense", "a", "-1", "B=c", "--lr", "1e-3"}), ContainsSubstring("--nonsense"));
  CHECK_THAT(only_problem({"-c", "run.json"}), ContainsSubstring("\"-c\": unknown flag"));
  CHECK(apply({"--nonsense", "a", "train.train_iters=3"}).config.train.train_iters == 3);
  CHECK(apply({"--nonsense=a", "stray"}).problems.size() == 2);
}

TEST_CASE("Files that are no arguments are told what they are", "[command_line]") {
  CHECK_THAT(only_problem({"run.json"}), ContainsSubstring("a run config is given as --config run.json"));
  CHECK_THAT(only_problem({"gpt2_124m"}), ContainsSubstring("a run config is given as --config gpt2_124m"));
  CHECK_THAT(only_problem({"run.yml"}), ContainsSubstring("JSON, not YAML"));
  CHECK_THAT(only_problem({"run.toml"}), ContainsSubstring("JSON, not TOML"));
  CHECK_THAT(only_problem({"--config", "run.toml"}), ContainsSubstring("JSON, not TOML"));
}

TEST_CASE("Bad arguments name what was meant", "[command_line]") {
  CHECK(only_problem({"--no-such-flag", "1"}) == "command line, \"--no-such-flag\": unknown flag; --help lists the flags");
  CHECK(only_problem({"--micro-batchsize", "1"}) ==
        "command line, \"--micro-batchsize\": unknown flag; did you mean \"--micro-batch-size\"?");
  CHECK(only_problem({"--kind=text"}) == "command line, \"--kind\": unknown flag; there is --dataset.kind");
  CHECK(only_problem({"--mixed-presicion", "x"}) ==
        "command line, \"--mixed-presicion\": unknown flag; did you mean \"--mixed-precision\"?");
  CHECK_THAT(only_problem({"model.hiden_size=64"}), ContainsSubstring("model.hiden_size: unknown field; did you mean \"hidden_size\"?"));
  CHECK_THAT(only_problem({"--modl.hidden_sizes", "64"}), ContainsSubstring("did you mean \"model\"?"));
  CHECK_THAT(only_problem({"stray"}), ContainsSubstring("unexpected argument"));
  CHECK_THAT(only_problem({"lr=3"}), ContainsSubstring("there is --optimizer.lr"));
  CHECK_THAT(only_problem({"--lr"}), ContainsSubstring("needs a value: a number from 0"));
  CHECK_THAT(only_problem({"--lr", "--log-throughput"}), ContainsSubstring("needs a value"));
  CHECK_THAT(only_problem({"--config"}), ContainsSubstring("needs a value"));
  CHECK_THAT(only_problem({"--config="}), ContainsSubstring("is empty"));
  CHECK_THAT(only_problem({"--config", "/no/such/file"}), ContainsSubstring("/no/such/file: cannot be read"));
  CHECK_THAT(only_problem({"--"}), ContainsSubstring("unknown flag"));
  CHECK_THAT(only_problem({""}), ContainsSubstring("unexpected argument"));
  CHECK_THAT(only_problem({"--.=1"}), ContainsSubstring("unknown section"));
  CHECK(apply({"--nonsense", "--lr", "nan", "x.y=1"}).problems.size() == 3);
}

TEST_CASE("flags of other trainers are answered with ours") {
  const auto problem = [](const std::string& flag) {
    const ConfigInput input = parse_config_arguments({flag, "4"});
    REQUIRE(input.problems.size() == 1);  // the value behind it is no further problem
    return input.problems[0].what;
  };
  CHECK_THAT(problem("--learning-rate"), ContainsSubstring("--lr"));
  CHECK_THAT(problem("--max_steps"), ContainsSubstring("--train-iters"));
  CHECK_THAT(problem("--output-dir"), ContainsSubstring("--save"));
  CHECK_THAT(problem("--batch-size"), ContainsSubstring("--micro-batch-size"));
}

TEST_CASE("--config takes a shipped config by its name, and says what it does not read") {
  const ConfigInput shipped = parse_config_arguments({"--config", "llama3.1_8b"});
  CHECK(shipped.problems.empty());
  CHECK(shipped.assignments.size() > 5);
  CHECK_THAT(parse_config_arguments({"--config", "llama3.1_8c"}).problems.at(0).what, ContainsSubstring("did you mean \"llama3.1_8b\"?"));
  CHECK_THAT(parse_config_arguments({"--config", "run.yaml"}).problems.at(0).what, ContainsSubstring("JSON"));
  CHECK_THAT(parse_config_arguments({"run.json"}).problems.at(0).what, ContainsSubstring("--config run.json"));
}

}  // namespace mbt::test::command_line_test

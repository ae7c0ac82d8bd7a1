// What folders hold beside weights, and folders that are not what the command takes.
#include <filesystem>
#include <fstream>

#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/model_folder.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::convert_folders_test {

namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(MBT_SOURCE_DIR) / "tests/golden";
const std::vector<std::string> kTiny = {"--num-layers",        "1",  "--hidden-size", "16", "--num-attention-heads", "2",
                                        "--seq-length",        "32", "--train-iters", "1",  "--micro-batch-size",    "1",
                                        "--global-batch-size", "1",  "--eval-iters",  "0",  "--data-path",           "text.txt"};

RunResult run_in(const TemporaryFolder& folder, std::vector<std::string> args, const std::vector<std::string>& more = {}) {
  args.insert(args.end(), more.begin(), more.end());
  return run_binary(args, folder.path());
}

RunResult succeed(const TemporaryFolder& folder, const std::vector<std::string>& args, const std::vector<std::string>& more = {}) {
  RunResult result = run_in(folder, args, more);
  INFO(result.out << result.err);
  REQUIRE(result.exit_code == 0);
  return result;
}

void refuse(const TemporaryFolder& folder, const std::vector<std::string>& args, const std::vector<std::string>& words) {
  const RunResult result = run_binary(args, folder.path());
  INFO(args[0] << "\n" << result.err);
  CHECK(result.exit_code == 2);
  for (const std::string& word : words) CHECK_THAT(result.err, ContainsSubstring(word));
}

nlohmann::json json_of(const fs::path& path) { return nlohmann::json::parse(read_text_file(path.string())); }

std::string many_words() {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "The quick brown fox jumps over the lazy dog " + std::to_string(i) + ".\n";
  return text;
}

}  // namespace

TEST_CASE("A model that has come from nowhere is exported with its tokenizer, and which tokens begin and end texts", "[convert]") {
  const TemporaryFolder folder;
  folder.file("text.txt", many_words());
  const std::string tokenizer = read_text_file((kGolden / "tokenizers/llama3/tokenizer.json").string());
  fs::create_directory(folder.path("tokenizer"));
  folder.file("tokenizer/tokenizer.json", tokenizer);
  folder.file("tokenizer/special_tokens_map.json", R"({"bos_token": "<|start|>", "eos_token": {"content": "<|end|>"}})");
  folder.file("tokenizer/chat_template.jinja", "{{ messages }}");
  succeed(folder, {"train", "--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", "tokenizer", "--checkpoint.save", "run"},
          kTiny);
  const RunResult done = succeed(folder, {"convert", "to-hf", "run", "hf"});
  CHECK(done.out.find("tokenizer") == std::string::npos);
  const fs::path hf = folder.path("hf");
  CHECK(read_text_file((hf / "tokenizer.json").string()) == tokenizer);
  CHECK(read_text_file((hf / "chat_template.jinja").string()) == "{{ messages }}");
  for (const char* file : {"config.json", "generation_config.json"}) {
    CHECK(json_of(hf / file)["eos_token_id"] == 420);
    CHECK(json_of(hf / file)["bos_token_id"] == 421);
  }
  CHECK(json_of(hf / "tokenizer_config.json") == nlohmann::json{{"tokenizer_class", "PreTrainedTokenizerFast"},
                                                                {"model_max_length", 32},
                                                                {"clean_up_tokenization_spaces", false},
                                                                {"bos_token", "<|start|>"},
                                                                {"eos_token", "<|end|>"}});
  succeed(folder, {"generate", "--load", "hf", "--prompt", "The quick", "--max-new-tokens", "2"});

  // a tokenizer_config.json of its own stays; as in transformers, with added_tokens_decoder special_tokens_map.json no longer counts
  folder.file("tokenizer/tokenizer_config.json", R"({"added_tokens_decoder": {}, "eos_token": "<|start|>"})");
  succeed(folder, {"train", "--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", "tokenizer", "--checkpoint.save", "run2"},
          kTiny);
  succeed(folder, {"convert", "to-hf", "run2", "hf2"});
  CHECK(read_text_file(folder.path("hf2/tokenizer_config.json")) == R"({"added_tokens_decoder": {}, "eos_token": "<|start|>"})");
  CHECK(json_of(folder.path("hf2/config.json"))["eos_token_id"] == 421);

  // another tokenizer is refused, the same one elsewhere is not
  fs::copy(folder.path("tokenizer"), folder.path("moved"), fs::copy_options::recursive);
  const std::vector<std::string> go_on = {"train", "--checkpoint.load", "run", "--train-iters", "2", "--tokenizer-model"};
  const auto with = [&](const std::string& tokenizer) {
    std::vector<std::string> args = {"train"};
    args.insert(args.end(), kTiny.begin(), kTiny.end());
    args.insert(args.end(), go_on.begin() + 1, go_on.end());
    args.push_back(tokenizer);
    return run_binary(args, folder.path());
  };
  CHECK(with("moved").exit_code == 0);
  CHECK(with((kGolden / "tokenizers/o200k").string()).exit_code == 2);

  succeed(folder, {"train", "--vocab-size", "300", "--checkpoint.save", "bytes"}, kTiny);
  CHECK_THAT(succeed(folder, {"convert", "to-hf", "bytes", "bytes-hf"}).out, ContainsSubstring("there is no tokenizer in it"));
  CHECK(json_of(folder.path("bytes-hf/config.json"))["eos_token_id"].is_null());
}

TEST_CASE("Text is not read as bytes for a model whose tokenizer is not known", "[convert]") {
  const TemporaryFolder folder;
  folder.file("text.txt", many_words());
  fs::create_directory(folder.path("source"));
  ModelFolder m = ModelFolder::golden("llama2");
  m.config["vocab_size"] = 256;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    ModelFolder::Tensor& t = m.at(name);
    t.shape[0] = 256;
    t.bytes += t.bytes;
  }
  m.write(folder.path("source"));
  succeed(folder, {"convert", "from-hf", "source", "run"});
  const std::vector<std::string> data = {"--data-path",         "text.txt", "--seq-length",       "16", "--train-iters", "1",
                                         "--global-batch-size", "1",        "--micro-batch-size", "1",  "--eval-iters",  "0"};
  const std::vector<std::vector<std::string>> starts = {
      {"train", "--model.hf_path", "source"},
      {"train", "--config", "run/run_config.json", "--checkpoint.load", "run", "--checkpoint.finetune", "true"}};
  for (const std::vector<std::string>& start : starts) {
    const RunResult refused = run_in(folder, start, data);
    CHECK(refused.exit_code == 2);
    CHECK_THAT(refused.err, ContainsSubstring("has no tokenizer") && ContainsSubstring("--tokenizer-model") &&
                                ContainsSubstring("--tokenizer-type bytes"));
    std::vector<std::string> named = data;
    named.insert(named.end(), {"--tokenizer-type", "bytes"});
    succeed(folder, start, named);
  }
  // tokens need none
  succeed(folder, {"tokenize", "--tokenizer", "bytes", "--input", "text.txt", "--output", "tokens"});
  std::vector<std::string> tokens = data;
  tokens[1] = "tokens";
  succeed(folder, starts[0], tokens);
}

TEST_CASE("Folders of another kind than the command takes, and names of the hub, are refused with what to do", "[convert]") {
  const TemporaryFolder folder;
  fs::create_directory_symlink(kGolden / "models/llama2", folder.path("source"));
  succeed(folder, {"convert", "from-hf", "source", "run"});
  refuse(folder, {"convert", "to-hf", "source", "out"}, {"source", "is a Hugging Face folder", "convert from-hf"});
  for (const char* run : {"run", "run/iter_0000000"}) {
    refuse(folder, {"convert", "from-hf", run, "out"}, {run, "is the folder of a run", "convert to-hf"});
    refuse(folder, {"train", "--model.hf_path", run}, {run, "is the folder of a run", "--checkpoint.load"});
  }
  const std::string hub = "meta-llama/Llama-3.1-8B";
  const std::vector<std::string> words = {hub + ": there is no such folder", "hf download " + hub + " --local-dir Llama-3.1-8B"};
  refuse(folder, {"convert", "from-hf", hub, "out"}, words);
  refuse(folder, {"train", "--model.hf_path", hub}, words);
  const RunResult path = run_binary({"convert", "from-hf", "/no/such/folder", "out"}, folder.path());
  CHECK_THAT(path.err, ContainsSubstring("/no/such/folder: there is no such folder"));
  CHECK(path.err.find("hf download") == std::string::npos);
  CHECK_FALSE(fs::exists(folder.path("out")));
}

}  // namespace mbt::test::convert_folders_test

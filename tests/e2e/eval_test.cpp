// mbtrain eval and generate as their users run them: a trained byte model, a Hugging Face folder, and what is wrong with inputs.
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/model_folder.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::eval_test {

namespace {

const std::string kGolden = std::string(MBT_SOURCE_DIR) + "/tests/golden/models/";

RunResult succeed(const std::vector<std::string>& args, const TemporaryFolder& folder) {
  const RunResult r = run_binary(args, folder.path());
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return r;
}

/// A byte model that has seen "tick tock" for a while, in folder/run.
void train_clock(const TemporaryFolder& folder) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "tick tock ";
  folder.file("clock.txt", text);
  succeed({"--data-path", "clock.txt", "--model.hidden_size", "64", "--model.num_layers", "2", "--seq-length", "64", "--train-iters", "60",
           "--eval-iters", "0", "--lr", "0.005", "--checkpoint.save", "run"},
          folder);
}

nlohmann::json evaluated(const std::vector<std::string>& args, const TemporaryFolder& folder) {
  std::vector<std::string> all = args;
  all.emplace_back("--json");
  return nlohmann::json::parse(succeed(all, folder).out);
}

}  // namespace

TEST_CASE("a trained model finds what it was trained on more probable than the reverse") {
  const TemporaryFolder folder;
  train_clock(folder);
  folder.file("good.txt", "tick tock tick tock tick tock");
  folder.file("bad.txt", "kcot kcit kcot kcit kcot kcit");
  const nlohmann::json good = evaluated({"eval", "perplexity", "--load", "run", "good.txt"}, folder);
  const nlohmann::json bad = evaluated({"eval", "perplexity", "--load", "run", "bad.txt"}, folder);
  CHECK(good["tokens"] == 28);
  CHECK(good["perplexity"].get<double>() == Approx(std::exp(good["nats_per_token"].get<double>())));
  CHECK(bad["nats_per_token"].get<double>() > good["nats_per_token"].get<double>() + 1);
  const nlohmann::json fp32 = evaluated({"eval", "perplexity", "--load", "run", "--mixed-precision", "fp32", "good.txt"}, folder);
  CHECK(fp32["nats_per_token"].get<double>() == Approx(good["nats_per_token"].get<double>()).margin(0.02));
  CHECK(fp32["nats_per_token"] != good["nats_per_token"]);

  folder.file("questions.jsonl", R"({"ctx": "tick tock tick", "endings": ["tack", "tock", "tuck"], "label": 1})"
                                 "\n"
                                 R"({"context": "tock ", "choices": ["tick tock", "kcit kcot"], "gold": "0"})"
                                 "\n");
  const nlohmann::json choice = evaluated({"eval", "choice", "--load", "run", "questions.jsonl"}, folder);
  CHECK(choice["questions"] == 2);
  CHECK(choice["acc"] == 1.0);
  CHECK(choice["acc_norm"] == 1.0);
  const RunResult each = succeed({"eval", "choice", "--load", "run", "--show-each", "questions.jsonl"}, folder);
  CHECK_THAT(each.out, ContainsSubstring(R"("where":"questions.jsonl:1","label":1)"));
  CHECK(good["bytes"] == good["tokens"]);  // the first byte of the text is not scored
  const std::vector<std::string> generate = {"generate",         "--load", "run",           "--prompt", "tick to",
                                             "--max-new-tokens", "7",      "--temperature", "0"};
  const auto generated = [&](std::vector<std::string> more) {
    more.insert(more.begin(), generate.begin(), generate.end());
    return succeed(more, folder);
  };
  CHECK(generated({}).out == "tick tock tick\n");
  CHECK(generated({"--num-samples", "2"}).out == "--- sample 1 of 2 ---\ntick tock tick\n--- sample 2 of 2 ---\ntick tock tick\n");
  const nlohmann::json line = nlohmann::json::parse(generated({"--json"}).out);
  CHECK(line == nlohmann::json{{"sample", 0},
                               {"prompt", "tick to"},
                               {"text", "ck tick"},
                               {"finished", false},
                               {"ended_by", "length"},
                               {"tokens", {'c', 'k', ' ', 't', 'i', 'c', 'k'}}});
  CHECK(generated({}).err.find("looks back") == std::string::npos);
  CHECK_THAT(generated({"--max-length", "6"}).err,
             ContainsSubstring("the prompt has 7 tokens and the model looks back on 6: it sees the last 3 alone"));
}

TEST_CASE("a model's tokenizer comes with it: from its folder, from an import, from a checkpoint, and back") {
  const TemporaryFolder folder;
  const std::string tokenizer = std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/llama3/tokenizer.json";
  const int64_t vocabulary = 1024;  // more than the tokenizer has: the rest is unused
  ModelFolder m = ModelFolder::golden("llama2");
  m.files = {{"tokenizer.json", read_text_file(tokenizer)},
             {"tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})"}};
  m.config["vocab_size"] = vocabulary;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    ModelFolder::Tensor& t = m.at(name);
    const size_t row = t.bytes.size() / static_cast<size_t>(t.shape[0]);
    while (t.bytes.size() < row * vocabulary) t.bytes += t.bytes;
    t.bytes.resize(row * vocabulary);
    t.shape[0] = vocabulary;
  }
  std::filesystem::create_directory(folder.path("source"));
  m.write(folder.path("source"));
  std::string text;
  for (int i = 0; i < 500; ++i) text += "The quick brown fox jumps over the lazy dog, \xC3\xA9t\xC3\xA9 " + std::to_string(i) + ".\n";
  folder.file("text.txt", text);

  const auto nats = [&](const std::string& model, std::vector<std::string> more = {}) {
    std::vector<std::string> args = {"eval", "perplexity", "--load", model, "--mixed-precision", "fp32", "--seq-length", "16", "text.txt"};
    args.insert(args.end(), more.begin(), more.end());
    return evaluated(args, folder)["nats_per_token"].get<double>();
  };
  succeed({"convert", "from-hf", "source", "run"}, folder);
  const double start = nats("source");
  CHECK(nats("run") == start);
  const std::vector<std::string> train = {"--data-path",         "text.txt", "--seq-length",      "16",   "--micro-batch-size", "4",
                                          "--global-batch-size", "4",        "--mixed-precision", "fp32", "--eval-iters",       "0",
                                          "--train-iters",       "20",       "--log-interval",    "1"};
  const auto trained = [&](std::vector<std::string> args) {
    args.insert(args.end(), train.begin(), train.end());
    return losses(succeed(args, folder).out);
  };
  const auto from_folder = trained({"--model.hf_path", "source", "--checkpoint.save", "a"});
  CHECK(from_folder.size() == 20);
  CHECK(trained({"--config", "run/run_config.json", "--checkpoint.load", "run", "--checkpoint.finetune", "true", "--checkpoint.save",
                 "b"}) == from_folder);
  const double after = nats("a");
  CHECK(after < start - 0.1);
  CHECK(nats("b") == after);
  succeed({"convert", "to-hf", "a", "back"}, folder);
  CHECK(read_text_file(folder.path("back/tokenizer.json")) == read_text_file(tokenizer));
  CHECK(nats("back") == Approx(after).epsilon(1e-6));
  CHECK(nats("back", {"--tokenizer", tokenizer}) == nats("back"));
  const RunResult text_out =
      succeed({"generate", "--load", "a", "--prompt", "The quick \xC3\xA9t\xC3\xA9", "--max-new-tokens", "12", "--ignore-eos"}, folder);
  CHECK(text_out.out.rfind("The quick \xC3\xA9t\xC3\xA9", 0) == 0);
  CHECK_NOTHROW(nlohmann::json(text_out.out).dump());  // which throws on what is not UTF-8
}

TEST_CASE("what eval and generate cannot use is refused with its place") {
  const TemporaryFolder folder;
  folder.file("a.txt", "some text");
  folder.file("bad.jsonl", "{\"text\": \"fine\"}\n{\"txt\": 1}\n");
  const std::string tokenizer = std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers";
  succeed({"--train.exit_interval", "1", "--checkpoint.save", "run"}, folder);
  const struct {
    std::vector<std::string> args;
    std::string words;
  } cases[] = {
      {{"eval"}, "WHAT"},
      {{"eval", "perplexity", "--load", "nowhere", "a.txt"}, "there is no folder"},
      {{"eval", "perplexity", "--load", "run", "none.txt"}, "none.txt"},
      {{"eval", "perplexity", "--load", "run", "bad.jsonl"}, "bad.jsonl:2: has no key \"text\""},
      {{"eval", "choice", "--load", "run", "bad.jsonl"}, "bad.jsonl:1: no text under ctx"},
      {{"eval", "perplexity", "--load", "run", "--seq-length", "100000", "a.txt"}, "--seq-length 100000: the model takes up to 128 tokens"},
      {{"eval", "perplexity", "--load", "run", "--stride", "200", "a.txt"}, "at most the sequence length"},
      {{"eval", "perplexity", "--load", kGolden + "llama2", "a.txt"}, "its tokenizer cannot be used"},
      {{"eval", "perplexity", "--load", kGolden + "llama2", "--ckpt-step", "3", "a.txt"}, "is a Hugging Face folder"},
      {{"generate", "--load", "run", "--prompt", ""}, "--prompt: got an empty value"},
      {{"generate", "--load", "run", "--max-length", "1000000"}, "the model takes up to 128 tokens"},
      {{"generate", "--load", "run", "--tokenizer", "nowhere.json"}, "--tokenizer: "},
  };
  for (const auto& c : cases) {
    const RunResult r = run_binary(c.args, folder.path());
    CAPTURE(c.args, r.err, r.out);
    CHECK(r.exit_code == 2);
    CHECK_THAT(r.err, ContainsSubstring(c.words));
  }
}

}  // namespace mbt::test::eval_test
